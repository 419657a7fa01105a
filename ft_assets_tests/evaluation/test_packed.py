"""Rows of several adapters read end to end in one pass: each gets what stock PEFT gives it alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch  # noqa: TID253
from peft import PeftModel  # noqa: TID253
from transformers import AutoModelForCausalLM  # noqa: TID253

from ft_assets.bases.frozen_linear import freeze_linears
from ft_assets.bases.packed_model import allow_packed
from ft_assets.evaluation.adapters import AdapterRack
from ft_assets.evaluation.batch import Batch
from ft_assets.evaluation.beginnings import Beginning
from ft_assets.evaluation.lora_rows import LoraRows, Runs
from ft_assets_tests.evaluation.conftest import write_adapter

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "other": {},
    "dora": {"use_dora": True},
    "head": {"target_modules": ["lm_head", "q_proj"]},
    "words": {"target_modules": ["embed_tokens", "v_proj"]},
}
LENGTHS = [30, 9, 30, 17, 1, 12, 5]


@pytest.fixture(scope="module")
def adapters(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        name: write_adapter(tiny_base, tmp_path_factory.mktemp("adapter"), 4, seed, **settings)
        for seed, (name, settings) in enumerate(KINDS.items())
    }


def plain(base: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()


def loaded(
    base: Path, adapters: dict[str, Path], names: Sequence[str | None]
) -> tuple[Any, AdapterRack, list[int]]:
    """A model as the engine has it, with adapters in memory, and how many rows each pass over it is given."""
    model, shapes = plain(base), []
    freeze_linears(model)
    rack = AdapterRack(model)
    allow_packed(model)
    for name in sorted({name for name in names if name}):
        rack.add(name, adapters[name])

    def note(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        shapes.append(len(kwargs.get("row_lengths") or ()))

    model.register_forward_pre_hook(note, with_kwargs=True)
    return model, rack, shapes


def assert_each_as_alone(
    batch: Batch, base: Path, adapters: dict[str, Path], names: Sequence[str | None], prompts: list[list[int]]
) -> None:
    bare = plain(base)
    for row, (name, prompt) in enumerate(zip(names, prompts, strict=True)):
        alone = plain(base)
        if name is not None:
            alone = PeftModel.from_pretrained(alone, adapters[name]).eval()
        with torch.no_grad():
            wanted, told = (each(torch.tensor([prompt])).logits[0, -1] for each in (alone, bare))
        assert torch.allclose(batch.logits[row], wanted, atol=1e-4), (row, name)
        assert name is None or (told - wanted).abs().max() > 0.05, (
            "the adapter must tell, else nothing is shown"
        )


@pytest.mark.parametrize(
    ("names", "packed"),
    [
        ([None, "plain", "plain", "other", "other", None, "plain"], True),
        (["dora", "plain", "dora", None, "plain", "other", "dora"], True),
        # Embeddings and the output layer cannot tell tokens that lie end to end apart.
        (["head", "plain", "head", None, "plain", "other", "head"], False),
        (["words", "plain", "words", None, "plain", "other", "words"], False),
        (["head"] * 7, True),
        (["words"] * 7, True),
    ],
)
def test_rows_that_begin_alike_are_each_as_alone(
    names: list[str | None], packed: bool, tiny_base: Path, adapters: dict[str, Path]
) -> None:
    prompts = [list(range(3, 3 + length)) for length in LENGTHS]
    model, rack, rows_of_passes = loaded(tiny_base, adapters, names)
    batch = Batch(model, rack, prompts, names)
    assert rows_of_passes == [len(prompts) if packed else 0]
    assert_each_as_alone(batch, tiny_base, adapters, names, prompts)


def test_once_an_adapter_of_the_embeddings_is_dropped_the_others_are_read_end_to_end_again(
    tiny_base: Path, adapters: dict[str, Path]
) -> None:
    names = [None, "plain", "plain", "other", "other", None, "plain"]
    prompts = [list(range(3, 3 + length)) for length in LENGTHS]
    model, rack, rows_of_passes = loaded(tiny_base, adapters, [*names, "words", "head"])
    for name in ("words", "head"):
        assert not rack.splits_rows
        rack.drop(name)
    batch = Batch(model, rack, prompts, names)
    assert rows_of_passes == [len(prompts)]
    assert_each_as_alone(batch, tiny_base, adapters, names, prompts)


def test_each_row_goes_on_from_its_own_beginning(tiny_base: Path, adapters: dict[str, Path]) -> None:
    names = [None, "plain", "plain", "other", "other"]
    prompts = [[*range(3, 23), 40 + row, 50, 60][: 23 - row] for row in range(5)]
    model, rack, _ = loaded(tiny_base, adapters, names)
    first = Batch(model, rack, prompts, names)
    begun: list[Beginning | None] = [
        None,
        first.beginning(1, prompts[1], 12),
        first.beginning(1, prompts[1], 18),
        first.beginning(3, prompts[3], 18),
        None,
    ]
    again = Batch(model, rack, prompts, names, begun)
    assert torch.allclose(again.logits, first.logits, atol=1e-4)
    assert_each_as_alone(again, tiny_base, adapters, names, prompts)
    ids = torch.full((5, 1), 7)
    assert torch.allclose(again.read(ids), first.read(ids), atol=1e-4), "what is kept of each row is whole"


def test_rows_that_go_on_alike_from_two_beginnings_stay_apart(
    tiny_base: Path, adapters: dict[str, Path]
) -> None:
    names = ["plain", "plain", "plain"]
    prompts = [[*range(start, start + 12), *range(100, 110)] for start in (3, 30, 30)]
    model, rack, _ = loaded(tiny_base, adapters, names)
    first = Batch(model, rack, prompts, names)
    begun = [first.beginning(row, prompt, 12) for row, prompt in enumerate(prompts)]
    batch = Batch(model, rack, prompts, names, begun)
    assert_each_as_alone(batch, tiny_base, adapters, names, prompts)


def test_a_layer_given_other_tokens_than_it_was_told_of_answers_nothing() -> None:
    class Layer:
        base_layer = torch.nn.Linear(4, 4)
        lora_A: ClassVar[dict[str, Any]] = {}

    runs = Runs()
    runs.lay_out(["a", "b", "b"], [2, 1, 2])
    assert (runs.slots, runs.lengths) == (["a", "b"], [2, 3])
    rows = LoraRows(Layer(), runs)
    assert rows(torch.zeros(1, 5, 4)).shape == (1, 5, 4)
    with pytest.raises(RuntimeError, match="split_sizes"):
        rows(torch.zeros(1, 4, 4))
