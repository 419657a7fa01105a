"""Rows of a batch over the base, LoRA, rsLoRA and DoRA adapters get what stock PEFT gives each alone."""

from pathlib import Path

import pytest
import torch  # noqa: TID253
from peft import LoraConfig, PeftModel  # noqa: TID253
from peft.tuners.lora import Linear  # noqa: TID253
from transformers import AutoModelForCausalLM  # noqa: TID253

from ft_assets.evaluation.adapters import AdapterRack
from ft_assets.evaluation.dora import FrozenDora, freeze_dora
from ft_assets_tests.evaluation.conftest import write_adapter

ROWS = [None, "dora", "lora", "dora", "other dora", "rslora", None]


@pytest.fixture(scope="module")
def adapters(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    kinds = {
        "lora": {},
        "rslora": {"use_rslora": True},
        "dora": {"use_dora": True},
        "other dora": {"use_dora": True},
    }
    return {
        name: write_adapter(tiny_base, tmp_path_factory.mktemp("adapter"), 4 + seed, seed, **settings)
        for seed, (name, settings) in enumerate(kinds.items())
    }


def plain(base: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()


@torch.no_grad()
def test_a_mixed_batch_equals_each_row_alone(tiny_base: Path, adapters: dict[str, Path]) -> None:
    ids = torch.randint(3, 250, (len(ROWS), 30), generator=torch.Generator().manual_seed(0))
    model = plain(tiny_base)
    rack = AdapterRack(model)  # pyright: ignore[reportArgumentType]
    for name, folder in adapters.items():
        rack.add(name, folder)
    rack.route(ROWS, ids.shape[1])
    mixed = model(ids).logits
    for row, name in enumerate(ROWS):
        alone = plain(tiny_base)
        if name is not None:
            alone = PeftModel.from_pretrained(alone, adapters[name]).eval()  # pyright: ignore[reportArgumentType]
        assert torch.allclose(mixed[row], alone(ids[row : row + 1]).logits[0], atol=1e-4), name
    told = plain(tiny_base)(ids).logits
    apart = [(mixed[row] - told[row]).abs().max().item() for row, name in enumerate(ROWS) if name]
    assert min(apart) > 0.1, "the arms must differ, else this test shows nothing"


@torch.no_grad()
def test_a_dropped_adapter_leaves_no_part_and_its_name_takes_another(
    tiny_base: Path, adapters: dict[str, Path]
) -> None:
    ids, model = torch.arange(3, 23)[None], plain(tiny_base)
    rack = AdapterRack(model)  # pyright: ignore[reportArgumentType]
    rack.add("x", adapters["dora"])
    rack.drop("x")
    assert not any(
        isinstance(variant, FrozenDora)
        for module in model.modules()
        for variant in getattr(module, "lora_variant", {}).values()
    )
    rack.add("x", adapters["lora"])
    rack.route(["x"], ids.shape[1])
    alone = PeftModel.from_pretrained(plain(tiny_base), adapters["lora"]).eval()  # pyright: ignore[reportArgumentType]
    assert torch.allclose(model(ids).logits, alone(ids).logits, atol=1e-4)


@pytest.mark.parametrize("bias", [False, True])
@torch.no_grad()
def test_a_frozen_layer_is_pefts_also_where_the_base_has_a_bias(bias: bool) -> None:
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=6, init_lora_weights=False, use_dora=True)
    made = Linear(torch.nn.Linear(12, 7, bias=bias), "default", config, r=4, lora_alpha=6).eval()
    made.lora_magnitude_vector["default"].weight.mul_(torch.linspace(0.5, 2, 7))
    x = torch.randn(3, 5, 12)
    wanted, base = made(x), made.get_base_layer()(x)
    freeze_dora(made, "default")
    mixed = made(x, adapter_names=["default", "__base__", "default"])
    assert torch.allclose(mixed, torch.stack([wanted[0], base[1], wanted[2]]), atol=1e-5)
    assert not torch.allclose(wanted, base, atol=1e-2)
