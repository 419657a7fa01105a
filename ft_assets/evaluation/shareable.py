"""Which adapters may lie beside others on one base: those that change no answer but those of their own rows."""

from dataclasses import fields

from peft import LoraConfig, PeftConfig, PeftType  # noqa: TID253

_CHANGE_THE_BASE = ("modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication")
_KEEP_THE_BASE = (True, False, "gaussian", "eva", "orthogonal")
"""Values of `init_lora_weights`; others take from the base what the adapter then holds."""


def check_shareable(config: PeftConfig) -> None:
    """Refuse an adapter that would change the base for all, or whose layers know no batch of several adapters.

    Raises:
        ValueError: it is such an adapter; the text names the settings.
    """
    if not isinstance(config, LoraConfig) or config.peft_type != PeftType.LORA:
        raise ValueError(f"only LoRA adapters share a base, and this is {config.peft_type}")
    variants = [field.name for field in fields(config) if field.metadata.get("is_lora_variant")]
    named = [*_CHANGE_THE_BASE, *variants, "use_qalora"]
    wrong = [name for name in named if name != "use_dora" and getattr(config, name)]
    if config.bias != "none":
        wrong.append("bias")
    if config.init_lora_weights not in _KEEP_THE_BASE:
        wrong.append("init_lora_weights")
    if wrong:
        raise ValueError(
            f"other adapters share it, which {', '.join(wrong)} does not allow; train it without"
        )
