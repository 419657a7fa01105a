"""From raw rows to rows worth training on. Every raw row is either kept or rejected with its reason.

Rows stream through twice, so that memory grows with their signatures only. On the way in each is cleaned and judged
by itself; then copies and contradictions are found among the signatures of what is left; on the way out each row goes
to one of two files. Redaction comes before anything that is written down.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.curation.card import card
from ft_assets.curation.clean import clean
from ft_assets.curation.contradictions import REASON, find_contradictions
from ft_assets.curation.duplicates import find_copies
from ft_assets.curation.filters import judge
from ft_assets.curation.pii.names import NamesModel, names_of
from ft_assets.curation.redaction import Redactor
from ft_assets.curation.signatures import SIGNATURE_SCHEMA, read_signatures, sign
from ft_assets.curation.summary import Summary
from ft_assets.curation.tally import Tally
from ft_assets.curation.tokens import Tokenizer
from ft_assets.errors import Refused
from ft_assets.recipe_data import Curation
from ft_assets.sources.example import EXAMPLE_SCHEMA, fit
from ft_assets.sources.rejected import REJECTED_SCHEMA, Rejected, rejected_table

_BLOCK = 4_096
_SCRATCH_SCHEMA = EXAMPLE_SCHEMA.append(pa.field("reason", pa.string())).append(
    pa.field("detail", pa.string())
)

Verdict = tuple[str, str]
"""Reason and detail."""


@dataclass
class _Left:
    """Rows that no filter rejected: their places in the batch, and their signatures in the same order."""

    places: list[int] = field(default_factory=list)
    signatures: list[pa.Table] = field(default_factory=list)

    def table(self) -> pa.Table:
        return pa.concat_tables([SIGNATURE_SCHEMA.empty_table(), *self.signatures])


def curate(
    raw: Path,
    out: Path,
    batch: str,
    settings: Curation,
    earlier: Sequence[Path] = (),
    tokenizer: Tokenizer | None = None,
) -> Summary:
    """Clean, judge and deduplicate a raw batch.

    Args:
        raw: folder of the raw batch: `rows.parquet` (`EXAMPLE_SCHEMA`) and `unreadable.parquet` (`REJECTED_SCHEMA`).
        out: folder that gets `rows.parquet` (kept, `EXAMPLE_SCHEMA`, in raw order), `rejected.parquet`
            (`REJECTED_SCHEMA`, unreadable ones first), `signatures.parquet`, `summary.json` and `card.md`.
        batch: the key that every kept row carries from here on.
        earlier: signature files of the batches before this one, oldest first.
        tokenizer: of the base, where the recipe limits lengths in tokens.

    Ids are those of the cleaned messages, so a raw row and its curated form may differ in id.

    Raises:
        Refused: not every raw row was accounted for, which is an error of this program.
    """
    tally, left = Tally(tokenizer), _Left()
    scratch = out / "scratch.parquet"
    came_in = _clean_and_judge(raw / "rows.parquet", scratch, settings, tokenizer, tally, left)
    signatures = left.table()
    verdicts = _compare(signatures, earlier, settings, tally)
    stay = [index for index in range(signatures.num_rows) if index not in verdicts]
    pq.write_table(signatures.take(pa.array(stay, pa.int64())), out / "signatures.parquet")
    by_place = {left.places[index]: verdict for index, verdict in verdicts.items()}
    unreadable = _redact_unreadable(raw / "unreadable.parquet", settings, tally)
    came_in += _deal_out(unreadable, scratch, out, batch, by_place, tally)
    scratch.unlink()
    summary = tally.summary()
    if summary.rows_in != came_in:
        raise Refused(
            f"{came_in} raw rows came in and {summary.rows_in} are accounted for; please report this"
        )
    (out / "summary.json").write_text(summary.model_dump_json(indent=2) + "\n")
    (out / "card.md").write_text(card(summary))
    return summary


def _clean_and_judge(
    raw: Path, scratch: Path, settings: Curation, tokenizer: Tokenizer | None, tally: Tally, left: _Left
) -> int:
    rows = 0
    with pq.ParquetWriter(scratch, _SCRATCH_SCHEMA) as writer:
        for block in _blocks(raw, EXAMPLE_SCHEMA):
            cleaned = clean(block, settings, tally.pii)
            tally.changed(block, cleaned)
            judged = judge(cleaned, settings, tokenizer)
            columns = [*judged.batch.columns, judged.reasons, judged.details]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_SCRATCH_SCHEMA))
            passed = judged.reasons.is_null()
            left.places += [rows + place for place, good in enumerate(passed.to_pylist()) if good]
            left.signatures.append(sign(judged.batch.filter(passed), settings))
            rows += block.num_rows
    return rows


def _compare(
    signatures: pa.Table, earlier: Iterable[Path], settings: Curation, tally: Tally
) -> dict[int, Verdict]:
    """Index in `signatures` to why the row does not stay."""
    copies = find_copies(signatures, read_signatures(earlier), settings)
    tally.copied |= {copy.of for copy in copies.values()}
    unique = [index for index in range(signatures.num_rows) if index not in copies]
    told = find_contradictions(signatures.take(pa.array(unique, pa.int64())), settings)
    contradicted = {unique[index]: (REASON, detail) for index, detail in told.items()}
    return {index: (copy.reason, copy.detail) for index, copy in copies.items()} | contradicted


def _redact_unreadable(path: Path, settings: Curation, tally: Tally) -> Iterator[list[Rejected]]:
    """The rows that could not be read, a block at a time."""
    names = names_of(settings)
    for block in _blocks(path, REJECTED_SCHEMA):
        rows = [Rejected(**row) for row in block.to_pylist()]
        yield [_redacted(row, names, tally) for row in rows] if settings.redact_pii else rows


def _deal_out(
    unreadable: Iterable[list[Rejected]],
    scratch: Path,
    out: Path,
    batch: str,
    verdicts: dict[int, Verdict],
    tally: Tally,
) -> int:
    """Write what is kept and what is rejected; returns how many rows could not be read."""
    lost = 0
    with (
        pq.ParquetWriter(out / "rows.parquet", EXAMPLE_SCHEMA) as kept,
        pq.ParquetWriter(out / "rejected.parquet", REJECTED_SCHEMA) as rejected,
    ):
        for rows in unreadable:
            lost += len(rows)
            _reject(rejected, tally, rows)
        place = 0
        for block in _blocks(scratch, _SCRATCH_SCHEMA):
            reasons, details = block["reason"].to_pylist(), block["detail"].to_pylist()
            for index in range(block.num_rows):
                if verdict := verdicts.get(place + index):
                    reasons[index], details[index] = verdict
            good = pa.array([reason is None for reason in reasons])
            rows = _in_batch(block.filter(good).select(EXAMPLE_SCHEMA.names), batch)
            kept.write_batch(rows)
            tally.kept(rows)
            bad = [index for index, reason in enumerate(reasons) if reason is not None]
            told = block.take(pa.array(bad, pa.int64())).select(EXAMPLE_SCHEMA.names).to_pylist()
            _reject(
                rejected,
                tally,
                (_rejected(row, reasons[i], details[i]) for row, i in zip(told, bad, strict=True)),
            )
            place += block.num_rows
    return lost


def _blocks(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    # Group by group, as long rows lie in small groups: a block over several would hold all of their text.
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for block in file.iter_batches(_BLOCK, row_groups=[group]):
                yield fit(block, schema)


def _in_batch(rows: pa.RecordBatch, batch: str) -> pa.RecordBatch:
    place = rows.schema.get_field_index("batch")
    column = pa.array([batch] * rows.num_rows, pa.string())
    return rows.set_column(place, EXAMPLE_SCHEMA.field("batch"), column).cast(EXAMPLE_SCHEMA)


def _reject(writer: pq.ParquetWriter, tally: Tally, rows: Iterable[Rejected]) -> None:
    found = list(rows)
    tally.rejected.update(row.reason for row in found)
    writer.write_table(rejected_table(found))


def _redacted(row: Rejected, names: NamesModel | None, tally: Tally) -> Rejected:
    redactor = Redactor(names)
    text = redactor.text(row.row)
    tally.pii.update(redactor.counts)  # not those of the detail, which quotes the row
    return replace(row, row=text, detail=redactor.text(row.detail))


def _rejected(row: dict[str, Any], reason: str, detail: str) -> Rejected:
    text = json.dumps(
        {key: value for key, value in row.items() if value is not None}, default=str, ensure_ascii=False
    )
    return Rejected(row["source"], row["line"], reason, detail, text)
