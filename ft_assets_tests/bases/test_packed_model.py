"""Passes that leave arithmetic out give the loss and the gradients of those that do not."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch  # noqa: TID253
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: TID253
from transformers import (  # noqa: TID253
    AutoModelForCausalLM,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from ft_assets.bases.packed_answers import _KNOWN
from ft_assets.bases.packed_attention import ATTENTION
from ft_assets.bases.packed_model import read_packed
from ft_assets.training.fused import FusedLoraLinear
from ft_assets.training.packing import answer_loss, make_pack
from ft_assets.training.rows import Row

CPU = torch.device("cpu")
SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
KNOWN = [LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config]
UNKNOWN = [GraniteConfig, Olmo2Config]  # a factor on the sums; norms at other places
BEGUN = [7, 8, 9, 10]
ALIKE = [  # an answer that follows the beginning, one within it, and a row that is the beginning
    Row(ids=[*BEGUN, 11, 12, 13], answer=[False] * 4 + [True] * 3),
    Row(ids=[*BEGUN, 14, 15], answer=[False] * 3 + [True, False, True]),
    Row(ids=BEGUN, answer=[False, False, True, True]),
    Row(ids=[*BEGUN, 11, 12, 16, 17], answer=[False] * 6 + [True] * 2),
]
APART = [Row(ids=[number, *row.ids[1:]], answer=row.answer) for number, row in enumerate(ALIKE, 20)]
SILENT = [Row(ids=[5, 6], answer=[False, False])]


def build(kind: type[PreTrainedConfig], dropout: float = 0.0) -> PeftModel:
    """A random base in double precision whose adapter does something."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(kind(**SIZES), attn_implementation=ATTENTION)
    settings: dict[str, Any] = {"lora_dropout": dropout, "init_lora_weights": False}
    lora = LoraConfig(r=3, target_modules="all-linear", task_type="CAUSAL_LM", **settings)
    lora._register_custom_module({torch.nn.Linear: FusedLoraLinear})
    model = get_peft_model(base, lora)
    assert isinstance(model, PeftModel)
    return model.double().train()


def learn(model: PeftModel, packs: Sequence[Sequence[Row]]) -> list[torch.Tensor]:
    """Loss, and the gradients of the adapter."""
    model.zero_grad()
    torch.manual_seed(1)  # for dropout
    losses = [answer_loss(model, make_pack(rows, CPU)) for rows in packs]
    torch.stack(losses).sum().backward()
    gradients = [weight.grad for weight in model.parameters() if weight.requires_grad]
    assert all(gradient is not None for gradient in gradients)
    return [torch.stack(losses).sum(), *gradients]  # pyright: ignore[reportReturnType]


def assert_same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6 * other.abs().max().item() + 1e-12)


@pytest.mark.parametrize("kind", KNOWN + UNKNOWN)
@pytest.mark.parametrize("rows", [ALIKE, APART, ALIKE[2:3], [*ALIKE[:2], *ALIKE[:2]]])
def test_gradients_are_those_of_the_plain_model_and_of_one_row_at_a_time(
    kind: type[PreTrainedConfig], rows: list[Row]
) -> None:
    plain, fast = build(kind), build(kind)
    read_packed(fast.get_base_model())
    told = learn(fast, [rows])
    assert_same(told, learn(plain, [rows]))
    assert_same(told, learn(plain, [[row] for row in rows]))


@pytest.mark.parametrize("kind", KNOWN)
def test_the_beginning_runs_once_and_the_last_layer_ends_at_answers(kind: type[PreTrainedConfig]) -> None:
    model = build(kind)
    read_packed(model.get_base_model())
    seen = {}
    for name, module in model.named_modules():
        if name.endswith((".mlp", ".q_proj")):
            module.register_forward_hook(
                lambda _, args, __, name=name: seen.update({name.partition("layers.")[2]: args[0].shape[1]})
            )
    learn(model, [ALIKE])
    tokens, answers = sum(len(row.ids) for row in ALIKE), sum(sum(row.answer) for row in ALIKE)
    once = tokens - len(BEGUN) * (len(ALIKE) - 1)
    assert seen == {
        "0.self_attn.q_proj": once,
        "0.mlp": once,
        "1.self_attn.q_proj": once,
        "1.mlp": answers,
    }


def test_with_dropout_every_token_has_a_mask_of_its_own() -> None:
    model = build(LlamaConfig, dropout=0.5)
    read_packed(model.get_base_model())
    tokens = []
    model.get_submodule("base_model.model.model.layers.0.mlp").register_forward_hook(
        lambda _, args, __: tokens.append(args[0].shape[1])
    )
    learn(model, [ALIKE])
    learn(model.eval(), [ALIKE])
    whole = sum(len(row.ids) for row in ALIKE)
    assert tokens == [whole, whole - len(BEGUN) * (len(ALIKE) - 1)]


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_pack_without_answers_has_gradients_of_zero(
    kind: type[PreTrainedConfig], dtype: torch.dtype
) -> None:
    model = build(kind).to(dtype)
    read_packed(model.get_base_model())
    assert all(not told.any() for told in learn(model, [SILENT]))


def test_passes_that_are_no_packs_are_left_alone() -> None:
    plain, fast = build(LlamaConfig), build(LlamaConfig)
    read_packed(fast.get_base_model())
    ids = torch.tensor([BEGUN, BEGUN])
    for model in (plain, fast):
        base: Any = model.get_base_model()
        base.set_attn_implementation("sdpa")
    for keep in (0, 2, torch.tensor([1, 3])):
        ours, theirs = (model(input_ids=ids, logits_to_keep=keep).logits for model in (fast, plain))
        assert torch.equal(ours, theirs)


def test_the_same_pack_gives_the_same_bytes_and_names_stay() -> None:
    plain, fast = build(LlamaConfig), build(LlamaConfig)
    read_packed(fast.get_base_model())
    for one, other in zip(learn(fast, [ALIKE]), learn(fast, [ALIKE]), strict=True):
        assert torch.equal(one, other)
    assert list(plain.state_dict()) == list(fast.state_dict())


def test_layers_that_are_known_keep_their_names() -> None:
    model = build(LlamaConfig)
    names = {type(module).__name__ for module in model.modules()}
    read_packed(model.get_base_model())
    assert {type(module).__name__ for module in model.modules()} == names
    assert sum(type(module) in _KNOWN for module in model.modules()) == SIZES["num_hidden_layers"] - 1
