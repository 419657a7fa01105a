"""Names of people by a model: token classification from the Hugging Face hub or a folder."""

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.recipe_data import Curation

_LABELS = {"PER", "PERSON", "NAME", "FIRSTNAME", "LASTNAME", "GIVENNAME", "SURNAME"}
_MIN_SCORE = 0.5
_OVERLAP_TOKENS = 32
_MOST_TOKENS = 512


class NamesModel:
    """Finds names of people.

    The first text imports torch and transformers (seconds, and half a gigabyte that the process keeps until it
    ends) and loads the model. Curation runs in the process of its Dagster step; leave names off, or give the step a
    process of its own (Dagster's multiprocess executor does).

    Args:
        model: folder, or hub id, of a token classification model whose labels have PER, PERSON or NAME among them.
            Its weights must be safetensors, and code that it brings along is not run.
    """

    def __init__(self, model: str) -> None:
        self.model = model

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Places (start, end) of names in the text.

        Raises:
            WrongInput: the model cannot be loaded, or has no label for people.
            BrokenEnvironment: transformers or torch is not installed.
        """
        if not text.strip():
            return
        for found in self._pipeline(text):
            start, end = _trimmed(text, found["start"], found["end"])
            if _is_person(found["entity_group"]) and found["score"] >= _MIN_SCORE and start < end:
                yield start, end

    @cached_property
    def _pipeline(self) -> Any:
        try:
            from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline
        except ImportError as error:
            raise BrokenEnvironment(
                "names_model needs transformers and torch: install ft-assets[train]"
            ) from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model, trust_remote_code=False)
            model = AutoModelForTokenClassification.from_pretrained(
                self.model, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise WrongInput(
                f"curation.names_model: {self.model!r} is not a token classification model that can be loaded: {error}"
            ) from error
        if not any(map(_is_person, model.config.id2label.values())):
            raise WrongInput(
                f"curation.names_model: the labels of {self.model!r} are {', '.join(model.config.id2label.values())}; "
                f"one of {', '.join(sorted(_LABELS))} must be among them"
            )
        tokenizer.model_max_length = min(tokenizer.model_max_length, _MOST_TOKENS)
        return pipeline(
            "token-classification",
            model=model,
            tokenizer=tokenizer,
            aggregation_strategy="simple",
            stride=_OVERLAP_TOKENS,
            device="cpu",
        )


def names_of(settings: Curation) -> NamesModel | None:
    """The model that a recipe wants names found by, the same object every time; None where it wants none."""
    return _open(settings.names_model) if settings.redact_pii and settings.names_model else None


@lru_cache(maxsize=1)
def _open(model: str) -> NamesModel:
    """Loaded once a process."""
    return NamesModel(model)


def _is_person(label: str) -> bool:
    return label.upper().removeprefix("B-").removeprefix("I-") in _LABELS


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Some tokenizers count the blank before a word to the word."""
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())
