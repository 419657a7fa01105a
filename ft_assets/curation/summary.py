"""What became of a batch in figures: kept beside its rows, shown on its card, and added up for a dataset."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

LENGTH_BINS = (0, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096)
"""Lower ends of the bins that lengths are counted in; the last one is open."""
_SAMPLES = 5


class Sample(BaseModel):
    """A text before and after cleaning; personal data is replaced in both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: str
    after: str


class Summary(BaseModel):
    """Counts of rows, unless said otherwise.

    Attributes:
        rows_in: raw rows, those that could not be read included; always `curated` and all of `rejected`.
        curated: kept rows.
        rejected: rejected rows by reason.
        pii: replacements by type, over kept and rejected rows.
        slices, sources, licenses, consents, kinds: kept rows by value.
        copied: kept rows that stand for at least one duplicate.
        length_unit: what lengths are in.
        prompt_lengths, answer_lengths: kept rows by bin of `LENGTH_BINS`.
        samples: the first few texts that cleaning changed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows_in: int
    curated: int
    rejected: dict[str, int]
    pii: dict[str, int]
    slices: dict[str, int]
    sources: dict[str, int]
    licenses: dict[str, int]
    consents: dict[str, int]
    kinds: dict[str, int]
    copied: int
    length_unit: Literal["tokens", "words"]
    prompt_lengths: list[int]
    answer_lengths: list[int]
    samples: list[Sample]

    @property
    def reject_share(self) -> float:
        """Share of the raw rows that was rejected, from 0 to 1."""
        return 1 - self.curated / self.rows_in if self.rows_in else 0.0


def add(summaries: Sequence[Summary]) -> Summary:
    """One summary of several batches. Lengths count as words unless all are in tokens."""
    in_tokens = bool(summaries) and all(one.length_unit == "tokens" for one in summaries)
    return Summary(
        rows_in=sum(one.rows_in for one in summaries),
        curated=sum(one.curated for one in summaries),
        rejected=_sum(one.rejected for one in summaries),
        pii=_sum(one.pii for one in summaries),
        slices=_sum(one.slices for one in summaries),
        sources=_sum(one.sources for one in summaries),
        licenses=_sum(one.licenses for one in summaries),
        consents=_sum(one.consents for one in summaries),
        kinds=_sum(one.kinds for one in summaries),
        copied=sum(one.copied for one in summaries),
        length_unit="tokens" if in_tokens else "words",
        prompt_lengths=_by_bin(one.prompt_lengths for one in summaries),
        answer_lengths=_by_bin(one.answer_lengths for one in summaries),
        samples=[sample for one in summaries for sample in one.samples][:_SAMPLES],
    )


def by_count(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first, then by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def source_name(source: str) -> str:
    """The file, dataset or package of a row's `source`, without what is particular to the row."""
    return ".".join(source.split(".")[:1]) if source.startswith("python:") else source.partition("#")[0]


def bin_of(length: int) -> int:
    """Index in `LENGTH_BINS`."""
    return max(index for index, least in enumerate(LENGTH_BINS) if length >= least)


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return by_count(total)


def _by_bin(lengths: Iterable[list[int]]) -> list[int]:
    return [sum(column) for column in zip([0] * len(LENGTH_BINS), *lengths, strict=True)]
