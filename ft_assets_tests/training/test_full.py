"""`method: full` is full fine-tuning of the linear layers, step for step."""

from pathlib import Path

import torch  # noqa: TID253
from peft import PeftModel  # noqa: TID253
from peft.tuners.lora import LoraLayer  # noqa: TID253
from transformers import AutoModelForCausalLM  # noqa: TID253

from ft_assets.bases.packed_attention import ATTENTION
from ft_assets.recipe import Training
from ft_assets.training.adapters import load_with_adapter, trained_parameters
from ft_assets.training.packing import answer_loss, make_pack
from ft_assets.training.rows import Row

SETTINGS = Training(method="full", device="cpu")
ROWS = [Row(ids=[5, 9, 17, 30 + at, 41], answer=[False, False, True, True, True]) for at in range(4)]


def steps(model: torch.nn.Module, weights: list[torch.Tensor], count: int = 5) -> None:
    """Some steps of Adam on the same rows."""
    optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.0)
    for _ in range(count):
        optimizer.zero_grad()
        answer_loss(model, make_pack(ROWS, torch.device("cpu"))).backward()
        optimizer.step()


def test_it_takes_the_steps_that_the_weights_themselves_would_take(tiny_base: Path) -> None:
    adapted = load_with_adapter(tiny_base, "tiny", SETTINGS).double()
    steps(adapted, [*trained_parameters(adapted).values()])
    plain = AutoModelForCausalLM.from_pretrained(
        tiny_base, dtype=torch.float64, attn_implementation=ATTENTION
    )
    output = plain.get_output_embeddings()
    layers = {
        name: layer
        for name, layer in plain.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer is not output
    }
    plain.requires_grad_(False)
    weights = [layer.weight.requires_grad_() for layer in layers.values()]
    steps(plain, weights)
    merged = adapted.merge_and_unload().state_dict()
    before = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float64).state_dict()
    for name, layer in layers.items():
        moved = layer.weight - before[f"{name}.weight"]
        off = merged[f"{name}.weight"] - layer.weight
        assert off.norm() < 1e-5 * moved.norm(), name


def test_every_linear_layer_may_become_any_matrix(tiny_base: Path) -> None:
    model = load_with_adapter(tiny_base, "tiny", SETTINGS)
    assert isinstance(model, PeftModel)
    layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    trained = sum(weight.numel() for weight in trained_parameters(model).values())
    assert trained == sum(layer.get_base_layer().weight.numel() for layer in layers) > 0
    assert {layer.scaling["default"] for layer in layers} == {1.0}
