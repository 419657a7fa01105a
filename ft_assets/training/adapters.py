"""The LoRA adapter: put on a frozen base, read and set as tensors, written as a PEFT folder of stable bytes."""

from pathlib import Path

import torch  # noqa: TID253
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict  # noqa: TID253
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, PreTrainedModel  # noqa: TID253
from transformers.pytorch_utils import Conv1D  # noqa: TID253

from ft_assets.bases.packed_attention import ATTENTION
from ft_assets.bases.packed_model import read_packed
from ft_assets.errors import WrongInput
from ft_assets.recipe import Training
from ft_assets.recipe_training import Scale
from ft_assets.training.full import full_ranks, train_whole_matrices
from ft_assets.training.fused import FusedLoraLinear
from ft_assets.training.quantized import load_quantized
from ft_assets.training.ranks_model import spread

Weights = dict[str, torch.Tensor]


def load_with_adapter(
    base: Path, base_name: str, settings: Training, scale: Scale | None = None
) -> PeftModel:
    """The frozen base with a fresh, seeded adapter on the linear layers that the settings name.

    Args:
        scale: how several processes hold it, of which this is one; None for one process alone.

    Raises:
        WrongInput: the base has no layer of a name in `target_modules`.
        BrokenEnvironment: what `qlora` needs is not installed.
    """
    device = choose_device(settings)
    model = _load_base(base, settings, device)
    torch.manual_seed(settings.seed)
    ranks = full_ranks(model) if settings.method == "full" else {}
    config = LoraConfig(
        r=settings.rank,
        rank_pattern=ranks,
        alpha_pattern=ranks,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_rslora=settings.method == "rslora",
        use_dora=settings.method == "dora",
        target_modules=_targets(model, settings.target_modules),
        task_type="CAUSAL_LM",
    )
    if settings.method != "qlora":  # whose layers are linear ones too, with weights that only they can read
        config._register_custom_module({torch.nn.Linear: FusedLoraLinear})
    adapted = get_peft_model(model, config)
    config.base_model_name_or_path = base_name
    if settings.method == "full":
        train_whole_matrices(adapted)
    read_packed(model)
    return adapted.to(device) if scale is None else spread(adapted, scale, device)


def _load_base(base: Path, settings: Training, device: torch.device) -> PreTrainedModel:
    if settings.method == "qlora":
        return load_quantized(base, device, compute_dtype(device))
    return AutoModelForCausalLM.from_pretrained(
        base, local_files_only=True, dtype=compute_dtype(device), attn_implementation=ATTENTION
    )


def _targets(model: PreTrainedModel, names: list[str] | None) -> list[str] | str:
    """PEFT's `target_modules`; it would pass over a name that no layer has."""
    if names is None:
        return "all-linear"
    output = model.get_output_embeddings()  # often the input's too: an adapter would change both when merged
    layers = [
        f".{name}"
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear | Conv1D) and layer is not output
    ]
    if unknown := [name for name in names if not any(layer.endswith(f".{name}") for layer in layers)]:
        known = sorted({layer.rpartition(".")[2] for layer in layers})
        raise WrongInput(
            f"`training.target_modules`: the base has no layer {', '.join(unknown)} that takes an adapter; write some "
            f"of {', '.join(known)}, or null for all of them"
        )
    return names


def compute_dtype(device: torch.device) -> torch.dtype:
    """Of the base: float32 on a CPU, where it is the fastest (bfloat16 runs at half the speed); bfloat16 on a GPU."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


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
