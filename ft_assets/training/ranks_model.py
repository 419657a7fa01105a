"""How several processes hold one model: each all of it, or each a part of every layer of the base."""

from typing import Any

import torch  # noqa: TID253
from peft import PeftModel  # noqa: TID253
from torch.distributed.device_mesh import init_device_mesh  # noqa: TID253
from torch.distributed.fsdp import fully_shard  # noqa: TID253

from ft_assets.recipe_training import Scale


def spread(model: PeftModel, scale: Scale, device: torch.device) -> PeftModel:
    """Put a model that is on the CPU on this process's device, whole (`ddp`) or this process's part of it (`fsdp`)."""
    if scale.checkpoint_activations:
        base: Any = model.get_base_model()
        base.activation_checkpointing_enable()
    if scale.strategy == "ddp":
        return model.to(device)
    return _shard(model, scale.processes, device)


def _shard(model: PeftModel, count: int, device: torch.device) -> PeftModel:
    """Share the frozen base out by layers (FSDP2).

    Beside its part a device holds the embeddings, and one layer at a time. The adapter, about a hundredth of the base,
    stays whole in every process. So its gradients, its optimizer and its checkpoints are what they are without.
    """
    mesh = init_device_mesh(device.type, (count,))
    adapter = {weight for weight in model.parameters() if weight.requires_grad}
    base: Any = model.get_base_model()
    for layer in base.modules():
        if type(layer).__name__ in (base._no_split_modules or ()):
            fully_shard(layer, mesh=mesh, ignored_params=adapter)
    fully_shard(model, mesh=mesh, ignored_params=adapter)
    for weight in adapter:
        weight.data = weight.data.to(device)
    return model
