"""Counts the rows of a batch while they stream by, and makes its summary."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain, islice

import pyarrow as pa

from ft_assets.curation.normalise import normalise
from ft_assets.curation.summary import LENGTH_BINS, Sample, Summary, bin_of, by_count, source_name
from ft_assets.curation.tokens import Tokenizer
from ft_assets.curation.turns import Columns

_SAMPLES = 5
_LEAD, _WIDTH = 40, 120  # characters shown before the first difference, and in all
_BY_VALUE = ("slice", "license", "consent", "kind")


class Tally:
    """What is counted so far.

    Args:
        tokenizer: lengths are in its tokens; None: in words.

    Attributes:
        pii: replacements by type.
        rejected: rejected rows by reason.
        copied: ids of rows that stand for duplicates.
    """

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self.pii: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.copied: set[str] = set()
        self._tokenizer = tokenizer
        self._curated = 0
        self._values: dict[str, Counter[str]] = {name: Counter() for name in (*_BY_VALUE, "source")}
        self._prompts, self._answers = [0] * len(LENGTH_BINS), [0] * len(LENGTH_BINS)
        self._samples: list[Sample] = []

    def changed(self, raw: pa.RecordBatch, clean: pa.RecordBatch) -> None:
        """Keep the first few texts that were tidied and then left alone: nothing personal was found in those."""
        wanted = _SAMPLES - len(self._samples)
        if not wanted:
            return
        before, after = (chain.from_iterable(Columns(rows).contents) for rows in (raw, clean))
        texts = zip(before, after, strict=True)
        tidied = (_excerpt(old, new) for old, new in texts if old != new and normalise(old) == new)
        self._samples += islice(tidied, wanted)

    def kept(self, rows: pa.RecordBatch) -> None:
        """Count rows that stay."""
        columns = Columns(rows)
        self._curated += len(columns)
        for name in _BY_VALUE:
            self._values[name].update(value or "none" for value in columns.values(name))
        self._values["source"].update(map(source_name, columns.values("source")))
        self._count(self._prompts, columns.prompts)
        self._count(self._answers, columns.answers)

    def summary(self) -> Summary:
        """Everything that was counted."""
        return Summary(
            rows_in=self._curated + self.rejected.total(),
            curated=self._curated,
            rejected=by_count(self.rejected),
            pii=by_count(self.pii),
            slices=by_count(self._values["slice"]),
            sources=by_count(self._values["source"]),
            licenses=by_count(self._values["license"]),
            consents=by_count(self._values["consent"]),
            kinds=by_count(self._values["kind"]),
            copied=len(self.copied),
            length_unit="tokens" if self._tokenizer else "words",
            prompt_lengths=self._prompts,
            answer_lengths=self._answers,
            samples=self._samples,
        )

    def _count(self, bins: list[int], texts: Sequence[str]) -> None:
        for text in texts:
            length = self._tokenizer.length(text) if self._tokenizer else len(text.split())
            bins[bin_of(length)] += 1


def _excerpt(old: str, new: str) -> Sample:
    """Both texts around their first difference."""
    same = enumerate(zip(old, new, strict=False))
    differs = next((place for place, (one, other) in same if one != other), min(len(old), len(new)))
    start = max(0, differs - _LEAD)
    lead = "…" if start else ""
    before, after = (f"{lead}{text[start : start + _WIDTH]}" for text in (old, new))
    return Sample(before=before, after=after)
