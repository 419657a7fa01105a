"""The fused LoRA layer computes what PEFT's does, forwards and backwards, and steps aside where it must."""

import pytest
import torch  # noqa: TID253
from peft import LoraConfig  # noqa: TID253
from peft.tuners.lora import Linear  # noqa: TID253

from ft_assets.bases.product import product
from ft_assets.training.fused import FusedLoraLinear


def layer(kind: type[Linear], bias: bool, **settings: object) -> Linear:
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=6, init_lora_weights=False, **settings)  # pyright: ignore[reportArgumentType]
    made = kind(torch.nn.Linear(12, 7, bias=bias).requires_grad_(False), "default", config, r=4, lora_alpha=6)
    return made.double()


def run(made: Linear, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, and gradients of input and adapter."""
    x = x.clone().requires_grad_()
    y = made(x)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    gradients = [weight.grad for weight in made.parameters() if weight.requires_grad]
    assert all(gradient is not None for gradient in gradients) and made.get_base_layer().weight.grad is None
    return [y, x.grad, *gradients]  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(5, 12), (1, 5, 12), (2, 3, 12)])
@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"use_dora": True}, {"lora_dropout": 0.5}])
def test_it_is_pefts_layer(bias: bool, shape: tuple[int, ...], settings: dict) -> None:
    x = torch.randn(shape, dtype=torch.double)
    told = []
    for kind in (Linear, FusedLoraLinear):
        made = layer(kind, bias, **settings)
        torch.manual_seed(1)  # for dropout
        told.append(run(made, x))
    for ours, theirs in zip(*told, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_on_a_bfloat16_base_with_a_float32_adapter_it_is_pefts_layer() -> None:
    x, told = torch.randn(5, 12, dtype=torch.bfloat16), []
    for kind in (Linear, FusedLoraLinear):
        made = layer(kind, bias=True).float()
        made.get_base_layer().bfloat16()
        told.append(run(made, x))
    for ours, theirs in zip(*told, strict=True):
        assert torch.equal(ours, theirs)


def test_gradients_are_those_of_finite_differences() -> None:
    made = layer(FusedLoraLinear, bias=True)
    assert torch.autograd.gradcheck(made, (torch.randn(3, 12, dtype=torch.double, requires_grad=True),))


def test_switched_off_and_merged_it_is_the_base() -> None:
    made, x = layer(FusedLoraLinear, bias=True), torch.randn(3, 12, dtype=torch.double)
    adapted, base = made(x), made.get_base_layer()(x)
    made.enable_adapters(False)
    assert torch.equal(made(x), base)
    made.enable_adapters(True)
    made.merge()
    assert torch.allclose(made(x), adapted)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bias", [None, torch.linspace(-1, 1, 7)])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_the_fast_product_is_the_plain_one(transposed: bool, bias: torch.Tensor | None, rows: int) -> None:
    x, weight = torch.randn(rows, 12), torch.randn(12, 7).t() if transposed else torch.randn(7, 12)
    plain = torch.nn.functional.linear(x.double(), weight.double(), bias if bias is None else bias.double())
    assert torch.allclose(product(x, weight, bias).double(), plain, rtol=1e-5, atol=1e-5)
    spread = torch.ones(()).expand(rows, 12)  # the gradient of a sum: one number, told many times
    assert torch.allclose(product(spread, weight), spread @ weight.t(), rtol=1e-5, atol=1e-5)
