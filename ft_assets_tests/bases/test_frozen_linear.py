"""Frozen linear layers say what the layers say that they replace, and keep one copy of each weight."""

from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: TID253
from torch.nn import Linear  # noqa: TID253
from transformers import AutoModelForCausalLM  # noqa: TID253

from ft_assets.bases.base_models import prepare_base
from ft_assets.bases.frozen_linear import FrozenLinear, freeze_linears, rounded
from ft_assets.bases.product import suits_onednn
from ft_assets.recipe import Base
from ft_assets.storage.home import Home

pytestmark = pytest.mark.skipif(not suits_onednn(torch.zeros(1)), reason="this torch has no oneDNN")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = Base(name="tiny-random", hub=None, package=None, tiny=True)
    return prepare_base(Home(tmp_path_factory.mktemp("bases")), base)[1]


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval().requires_grad_(False)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 576), (2, 1, 576), (1, 71, 576), (2, 9, 576), (0, 576)])
@torch.no_grad()
def test_it_says_what_the_layer_says(bias: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, x = Linear(576, 192, bias=bias), torch.randn(shape)
    frozen = FrozenLinear(layer, shared=False)
    assert torch.allclose(frozen(x), layer(x), atol=1e-5)
    assert torch.equal(frozen.weight, layer.weight), "those who look at the weight see the same numbers"
    assert [name for name, _ in frozen.named_parameters()] == (["bias"] if bias else [])


@torch.no_grad()
def test_a_frozen_model_says_the_same_and_keeps_no_weight_twice(folder: Path) -> None:
    ids = torch.arange(3, 40)[None]
    plain, frozen = load(folder), load(folder)
    freeze_linears(frozen)
    layers = [layer for layer in frozen.modules() if isinstance(layer, Linear)]
    assert layers and all(type(layer) is FrozenLinear for layer in layers)
    assert torch.allclose(frozen(ids).logits, plain(ids).logits, atol=1e-4)
    head, words = frozen.get_output_embeddings(), frozen.get_input_embeddings()
    assert head.weight.data_ptr() == words.weight.data_ptr(), "the base's output layer is its embeddings"
    assert [name for name, _ in frozen.named_parameters() if "proj" in name] == []


def test_what_another_product_is_made_for_stays_as_it_is(folder: Path) -> None:
    model = load(folder, torch.bfloat16)
    freeze_linears(model)
    assert not any(isinstance(layer, FrozenLinear) for layer in model.modules())


def test_kernels_are_made_for_few_numbers_of_rows():
    made = {rows: rounded(rows) for rows in range(4097)}
    assert all(rows <= more <= rows * 9 / 8 for rows, more in made.items())
    assert [made[rows] for rows in range(17)] == list(range(17)), "what is decoded together is never padded"
    assert len(set(made.values())) <= 1 + 16 + 8 * 8


@torch.no_grad()
def test_a_weight_is_loaded_over_only_by_itself() -> None:
    layer = Linear(8, 4, bias=False)
    frozen = FrozenLinear(layer, shared=False)
    for same in (layer.weight, layer.weight.bfloat16()):
        assert not frozen.load_state_dict({"weight": same}, strict=False).unexpected_keys
    for other in (layer.weight + 1, layer.weight[:2]):
        assert frozen.load_state_dict({"weight": other}, strict=False).unexpected_keys == ["weight"]
