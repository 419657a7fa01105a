"""Child process: `python -m ft_assets.bases.convert SOURCE FOLDER` writes a base as safetensors with its tokenizer.

SOURCE is a GGUF file or a folder in Hugging Face's layout. The same source gives the same bytes.
"""

import sys
from pathlib import Path

import torch  # noqa: TID253
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel  # noqa: TID253
from transformers import logging as transformers_logging  # noqa: TID253
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast  # noqa: TID253


def convert(source: Path, folder: Path) -> None:
    """Write `config.json`, `model.safetensors`, tokenizer and chat template into `folder`."""
    model, tokenizer = _load_gguf(source) if source.suffix == ".gguf" else _load_folder(source)
    if not tokenizer.chat_template:
        raise SystemExit("its tokenizer has no chat template; name an instruct model in `base`")
    _separate_pad_from_end(model, tokenizer)
    # Where the source lay and how it was quantized is no part of what the model is.
    for mark in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        model.config.__dict__.pop(mark, None)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _load_folder(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    model = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="auto"
    )
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _load_gguf(file: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    del model.hf_quantizer  # else it refuses to be saved
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    _restore_pre_tokenizer(file, tokenizer)
    return model, tokenizer


def _restore_pre_tokenizer(file: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Split digits first, as SmolLM's own tokenizer does: the GGUF reader of transformers forgets that step."""
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    field = GGUFReader(file).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )


def _separate_pad_from_end(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Give padding a token of its own: were it the end token, whoever masks padding would mask the end too."""
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        others = [token for token in tokenizer.all_special_tokens if token != tokenizer.eos_token]
        unused = [token for token in others if token not in tokenizer.chat_template]
        if not (unused or others):
            raise SystemExit(
                "its tokenizer has no special token but the end token, so none is left for padding"
            )
        tokenizer.pad_token = (unused or others)[0]
    model.config.pad_token_id = tokenizer.pad_token_id
    if model.generation_config is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id


if __name__ == "__main__":
    transformers_logging.disable_progress_bar()
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
