"""Child process: `python -m ft_assets.registry.merge BASE ADAPTER FOLDER` writes a base with an adapter added in.

The folder is a model of its own, in Hugging Face's layout: safetensors, tokenizer and chat template.
"""

import sys
from pathlib import Path

from peft import PeftModel  # noqa: TID253
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: TID253


def merge(base: Path, adapter: Path, folder: Path) -> None:
    """Write the merged model. The same bytes in give the same bytes out."""
    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype="auto")
    merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
    merged.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base, local_files_only=True).save_pretrained(folder)


if __name__ == "__main__":
    merge(*map(Path, sys.argv[1:]))
