"""A frozen base of 4 bits a weight (QLoRA, Dettmers et al. 2023): NF4 with double quantization, by bitsandbytes."""

import importlib.util
from pathlib import Path

import torch  # noqa: TID253
from peft import prepare_model_for_kbit_training  # noqa: TID253
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel  # noqa: TID253

from ft_assets.bases.packed_attention import ATTENTION
from ft_assets.errors import BrokenEnvironment


def load_quantized(base: Path, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """The base on its device, its linear layers but the output in 4 bits, all else in float32.

    Args:
        dtype: of the products with the weights, for which they are unpacked.

    Raises:
        BrokenEnvironment: bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BrokenEnvironment(
            "`training.method: qlora` needs the package bitsandbytes, which is not installed here; run `pip install "
            "'ft-assets[qlora]'`, or write `method: lora`"
        )
    packing = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model = AutoModelForCausalLM.from_pretrained(
        base,
        local_files_only=True,
        dtype=dtype,
        attn_implementation=ATTENTION,
        quantization_config=packing,
        device_map={"": device},
    )
    for layer in model.modules():
        # On some CPUs the weights would be repacked at each validation: rounded once more, where it does not fail.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False  # pyright: ignore[reportArgumentType]
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
