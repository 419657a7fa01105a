"""The LoRA adapter: put on a frozen base, read and set as tensors, written as a PEFT folder of stable bytes."""

from pathlib import Path

import torch  # noqa: TID253
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict  # noqa: TID253
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM  # noqa: TID253

from ft_assets.recipe import Training
from ft_assets.recipe_training import Scale
from ft_assets.training.fused import FusedLoraLinear
from ft_assets.training.packing import ATTENTION
from ft_assets.training.ranks_model import spread

Weights = dict[str, torch.Tensor]


def load_with_adapter(
    base: Path, base_name: str, settings: Training, scale: Scale | None = None
) -> PeftModel:
    """The frozen base with a fresh, seeded adapter on all its linear layers.

    Float32 on a CPU, where it is the fastest (bfloat16 runs at half the speed); bfloat16 base on a GPU.

    Args:
        scale: how several processes hold it, of which this is one; None for one process alone.
    """
    device = choose_device(settings)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(
        base, local_files_only=True, dtype=dtype, attn_implementation=ATTENTION
    )
    torch.manual_seed(settings.seed)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    config._register_custom_module({torch.nn.Linear: FusedLoraLinear})
    adapted = get_peft_model(model, config)
    config.base_model_name_or_path = base_name
    return adapted.to(device) if scale is None else spread(adapted, scale, device)


def choose_device(settings: Training) -> torch.device:
    """`auto` is a GPU where there is one."""
    if settings.device != "auto":
        return torch.device(settings.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def trained_parameters(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """The adapter's parameters by name, in the model's order."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def copy_adapter(model: PeftModel) -> Weights:
    """A copy of the adapter's weights, on the CPU."""
    return {name: weight.detach().to("cpu", copy=True) for name, weight in trained_parameters(model).items()}


def restore_adapter(model: PeftModel, weights: Weights) -> None:
    """Overwrite the adapter's weights."""
    with torch.no_grad():
        for name, weight in trained_parameters(model).items():
            weight.copy_(weights[name])


def write_adapter(model: PeftModel, folder: Path) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors`; the same weights give the same bytes."""
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = model.peft_config["default"]
    assert isinstance(config, LoraConfig)
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules or ())  # a set, whose order changes from run to run
    config.save_pretrained(str(folder))
