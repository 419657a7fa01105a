"""A model that reads packed rows with less arithmetic, to the same result up to rounding."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel  # noqa: TID253

from ft_assets.bases.packed_answers import keep_answers
from ft_assets.bases.packed_beginning import SHARED, share_beginning


def allow_packed(model: PreTrainedModel) -> None:
    """Have passes with `row_lengths` leave out what no answer depends on, or what is there already.

    Such a pass wants the attention of `packed`; any other pass stays as it is.
    """
    share_beginning(model)  # first, as it moves the places that the other is told
    keep_answers(model)


def read_packed(model: PreTrainedModel) -> None:
    """Have a model read nothing but packed rows from here on."""
    allow_packed(model)
    model.set_attn_implementation(SHARED)


@contextmanager
def packed(model: PreTrainedModel) -> Iterator[None]:
    """Have a model that was allowed to read packed rows for the length of the block."""
    usual = str(model.config._attn_implementation)
    model.set_attn_implementation(SHARED)
    try:
        yield
    finally:
        model.set_attn_implementation(usual)
