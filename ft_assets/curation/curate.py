"""From raw rows to rows worth training on. Every raw row is either kept or rejected with its reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ft_assets.curation.duplicates import find_copies
from ft_assets.curation.filters import first_reason
from ft_assets.curation.normalise import normalise
from ft_assets.curation.redaction import Redactor
from ft_assets.recipe import Curation
from ft_assets.sources.example import EXAMPLE_SCHEMA, Example, Message, from_table, to_table

REJECTED_SCHEMA = pa.schema(
    [pa.field("reason", pa.string()), pa.field("detail", pa.string()), *EXAMPLE_SCHEMA]
)
"""A rejected row: why (`reason`, a code; `detail`, in words), and the row itself, redacted like any other."""


@dataclass(frozen=True)
class Curated:
    """What became of a batch.

    Attributes:
        rows: kept, `EXAMPLE_SCHEMA`, in raw order.
        rejected: `REJECTED_SCHEMA`, in raw order.
        reasons: rejected rows by reason.
        redactions: replacements by type, over kept and rejected rows.
    """

    rows: pa.Table
    rejected: pa.Table
    reasons: dict[str, int]
    redactions: dict[str, int]


def curate(raw: pa.Table, batch: str, settings: Curation, earlier: pa.Table | None) -> Curated:
    """Normalise, redact, filter, and drop copies. Redaction comes before anything that is written down.

    Args:
        raw: rows of the batch, `EXAMPLE_SCHEMA`.
        batch: the key that every row, kept or rejected, carries from here on.
        earlier: curated rows of the batches before this one.

    Ids are those of the cleaned messages, so a raw row and its curated form may differ in id.
    """
    counts: Counter[str] = Counter()
    examples = [_clean(example, batch, settings, counts) for example in from_table(raw)]
    verdicts = {index: found for index, row in enumerate(examples) if (found := first_reason(row, settings))}
    left = [index for index in range(len(examples)) if index not in verdicts]
    known = list(from_table(earlier)) if earlier is not None else []
    copies = find_copies([examples[index] for index in left], known, settings.near_duplicate_jaccard)
    verdicts |= {left[position]: (copy.reason, copy.detail) for position, copy in copies.items()}
    return Curated(
        rows=to_table(row for index, row in enumerate(examples) if index not in verdicts),
        rejected=_rejected(examples, verdicts),
        reasons=dict(Counter(reason for reason, _ in verdicts.values()).most_common()),
        redactions=dict(sorted(counts.items())),
    )


def _clean(example: Example, batch: str, settings: Curation, counts: Counter[str]) -> Example:
    redactor = Redactor()
    messages = []
    for turn in example.messages:
        content, calls = normalise(turn.content), turn.tool_calls
        if settings.redact_pii:
            content, calls = redactor.text(content), redactor.json(calls) if calls else None
        messages.append(Message(role=turn.role, content=content, tool_calls=calls))
    counts.update(redactor.counts)
    return example.model_copy(update={"messages": tuple(messages), "batch": batch})


def _rejected(examples: Sequence[Example], verdicts: dict[int, tuple[str, str]]) -> pa.Table:
    order = sorted(verdicts)
    table = to_table(examples[index] for index in order)
    for position, name in enumerate(("reason", "detail")):
        column = pa.array([verdicts[index][position] for index in order], pa.string())
        table = table.add_column(position, REJECTED_SCHEMA.field(name), column)
    return table
