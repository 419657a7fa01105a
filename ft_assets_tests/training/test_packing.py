"""Packed rows give the gradients of rows taken one at a time, and only answers are learnt."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch  # noqa: TID253

from ft_assets.curation.chat import encode_example
from ft_assets.recipe import Training
from ft_assets.training.adapters import load_with_adapter, trained_parameters
from ft_assets.training.packing import answer_loss, make_pack
from ft_assets.training.rows import Row
from ft_assets_tests.training.conftest import examples

CPU = torch.device("cpu")


@pytest.fixture
def rows(tiny_base: Path) -> list[Row]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base, local_files_only=True)
    return [Row(*encode_example(tokenizer, example.messages)) for example in examples(7)]


@pytest.fixture
def model(tiny_base: Path) -> torch.nn.Module:
    """A tiny base whose adapter does something: a fresh one's gradients are zero for half of its weights."""
    model = load_with_adapter(tiny_base, "tiny-random", Training(rank=4, alpha=8))
    generator = torch.Generator().manual_seed(1)
    for weight in trained_parameters(model).values():
        weight.data.normal_(0.0, 0.1, generator=generator)
    return model


def gradients(
    model: torch.nn.Module, packs: Sequence[Sequence[Row]]
) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    total = 0.0
    for pack in packs:
        loss = answer_loss(model, make_pack(pack, CPU))
        loss.backward()
        total += loss.item()
    return total, {name: weight.grad.clone() for name, weight in trained_parameters(model).items()}


def reference(model: torch.nn.Module, row: Row) -> torch.Tensor:
    """The loss of one row the long way: every logit, plain attention, the mask applied at the end."""
    model.base_model.model.set_attn_implementation("eager")
    ids = torch.tensor([row.ids])
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, :-1]
    losses = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    return losses[torch.tensor(row.answer[1:])].sum()


def test_packed_gradients_equal_those_of_one_row_at_a_time(model: torch.nn.Module, rows: list[Row]):
    packed_loss, packed = gradients(model, [rows])
    loss, alone = gradients(model, [[row] for row in rows])
    assert packed_loss == pytest.approx(loss, rel=1e-5)
    for name, gradient in alone.items():
        assert torch.allclose(packed[name], gradient, rtol=1e-4, atol=1e-5 * gradient.abs().max().item()), (
            name
        )


def test_packed_gradients_equal_those_of_the_plain_model(model: torch.nn.Module, rows: list[Row]):
    loss, packed = gradients(model, [rows])
    model.zero_grad()
    plain = sum(reference(model, row) for row in rows)
    plain.backward()
    assert plain.item() == pytest.approx(loss, rel=1e-5)
    for name, weight in trained_parameters(model).items():
        assert torch.allclose(
            packed[name], weight.grad, rtol=1e-4, atol=1e-5 * weight.grad.abs().max().item()
        )


def test_order_of_rows_in_a_pack_does_not_change_the_loss(model: torch.nn.Module, rows: list[Row]):
    forward, backward = (answer_loss(model, make_pack(order, CPU)).item() for order in (rows, rows[::-1]))
    assert forward == pytest.approx(backward, rel=1e-5)


def test_only_answer_tokens_count(model: torch.nn.Module, rows: list[Row]):
    pack = make_pack(rows, CPU)
    assert pack.targets.numel() == sum(sum(row.answer) for row in rows)
    answers = [token for row in rows for token, flag in zip(row.ids, row.answer, strict=True) if flag]
    assert pack.targets.tolist() == answers


def test_no_gradient_reaches_the_base(model: torch.nn.Module, rows: list[Row]):
    gradients(model, [rows])
    frozen = [weight for name, weight in model.named_parameters() if "lora_" not in name]
    assert frozen and all(weight.grad is None for weight in frozen)
