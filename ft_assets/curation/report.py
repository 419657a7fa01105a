"""A curated batch as files, and as tables that a person reads."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.curation.curate import Curated

_SHOWN = 5
_WIDTH = 160


def write_curated(curated: Curated, folder: Path) -> None:
    """`rows.parquet`, `rejected.parquet` and `summary.json`."""
    pq.write_table(curated.rows, folder / "rows.parquet")
    pq.write_table(curated.rejected, folder / "rejected.parquet")
    (folder / "summary.json").write_text(json.dumps(summary(curated), indent=2) + "\n")


def summary(curated: Curated) -> dict[str, Any]:
    """`raw`, `kept` and `rejected` rows; rejected rows by reason; redactions by type."""
    kept, rejected = curated.rows.num_rows, curated.rejected.num_rows
    counts = {"raw": kept + rejected, "kept": kept, "rejected": rejected}
    return {**counts, "reasons": curated.reasons, "redactions": curated.redactions}


def counts_table(title: str, counts: dict[str, int]) -> str:
    """Markdown: a name and a count a line."""
    lines = [f"| {name} | {count} |" for name, count in counts.items()] or ["| none | 0 |"]
    return "\n".join([f"| {title} | rows |", "|---|---:|", *lines])


def samples_table(table: pa.Table) -> str:
    """Markdown: the first rows, one of each reason where the table has reasons."""
    rows = _one_a_reason(table) if "reason" in table.column_names else table.slice(0, _SHOWN).to_pylist()
    names = [name for name in ("reason", "detail", "source") if name in table.column_names]
    lines = ["| " + " | ".join([*names, "prompt", "answer"]) + " |", "|---" * (len(names) + 2) + "|"]
    for row in rows:
        turns = [turn["content"] for turn in row["messages"]]
        cells = [*(row[name] for name in names), "\n\n".join(turns[:-1]), turns[-1]]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _one_a_reason(table: pa.Table) -> list[dict[str, Any]]:
    first: dict[str, int] = {}
    for index, reason in enumerate(table.column("reason").to_pylist()):
        first.setdefault(reason, index)
    return table.take(pa.array(first.values(), pa.int64())).to_pylist()


def _cell(text: str) -> str:
    flat = " ".join(text[: 4 * _WIDTH].split()).replace("|", "\\|").replace("<", "&lt;")
    return flat if len(flat) <= _WIDTH else flat[:_WIDTH] + "…"
