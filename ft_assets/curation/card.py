"""A dataset card: what is in the data, what was left out and why, for people."""

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import pairwise

from ft_assets.curation.summary import LENGTH_BINS, Summary

_WIDTH = 160
_BAR = 30
_SHOWN = 30


def card(summary: Summary, sides: Mapping[str, int] | None = None) -> str:
    """Markdown of a batch's summary, or of a dataset's with the rows on each side. Rows' own text cannot break it."""
    lines = [
        "# Dataset card",
        "",
        f"{summary.curated} of {summary.rows_in} rows are kept; {summary.rows_in - summary.curated} "
        f"({summary.reject_share:.1%}) are rejected, each with its reason in `rejected.parquet`.",
    ]
    sections = {
        "Rows on each side of the split": sides,
        "Rejected, by reason": summary.rejected,
        "Kept, by slice": summary.slices,
        "Kept, by source": summary.sources,
        "Kept, by licence": summary.licenses,
        "Kept, by consent": summary.consents,
        "Kept, by kind": summary.kinds,
        "Personal data and secrets replaced, by type": summary.pii,
    }
    for title, counts in sections.items():
        if counts is not None:
            lines += ["", f"## {title}", "", counts_table(counts)]
    lines += ["", "## Duplicates and contradictions", "", _duplicates(summary)]
    for title, lengths in (("Prompts", summary.prompt_lengths), ("Answers", summary.answer_lengths)):
        lines += ["", f"## {title}, by length in {summary.length_unit}", "", _histogram(lengths)]
    lines += ["", "## Texts that cleaning changed", "", _samples(summary), "", _limits(summary), ""]
    return "\n".join(lines)


def counts_table(counts: Mapping[str, int]) -> str:
    """Markdown: a name and a count a line; the rest together where there are many."""
    if not counts:
        return "None."
    shown = list(counts.items())[:_SHOWN]
    if left := list(counts.values())[_SHOWN:]:
        shown.append((f"{len(left)} more", sum(left)))
    return "\n".join(["| | rows |", "|---|---:|", *(f"| {cell(name)} | {count} |" for name, count in shown)])


def draw_lengths(summary: Summary) -> str:
    """PNG of both length histograms, base64."""
    from matplotlib.figure import Figure  # no pyplot: it keeps global state and looks for a display

    figure = Figure(figsize=(7, 2.6), layout="constrained")
    panels = zip(
        figure.subplots(1, 2, sharey=True),
        (("prompts", summary.prompt_lengths), ("answers", summary.answer_lengths)),
        strict=True,
    )
    for axes, (title, lengths) in panels:
        axes.bar(_bin_names(), lengths, color="tab:blue")
        axes.set(title=title, xlabel=summary.length_unit)
        axes.tick_params(axis="x", rotation=60, labelsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def cell(text: str) -> str:
    """One line of Markdown table text: rows come from users, and may hold anything."""
    flat = " ".join(text[: 4 * _WIDTH].split())
    flat = flat if len(flat) <= _WIDTH else flat[:_WIDTH] + "…"
    for character, escaped in (
        ("\\", "\\\\"),
        ("|", "\\|"),
        ("<", "&lt;"),
        ("`", "'"),
        ("[", "\\["),
        ("!", "\\!"),
    ):
        flat = flat.replace(character, escaped)
    return flat


def _duplicates(summary: Summary) -> str:
    named = (
        ("exact_duplicate", "exact"),
        ("near_duplicate", "near"),
        ("semantic_duplicate", "of the same meaning"),
    )
    counts = [f"{summary.rejected.get(reason, 0)} {words}" for reason, words in named]
    return (
        f"{', '.join(counts)} duplicates of {summary.copied} rows that stay; "
        f"{summary.rejected.get('contradiction', 0)} rows that answer a prompt otherwise than one that stays."
    )


def _bin_names() -> list[str]:
    ends = [f"{least}-{above - 1}" for least, above in pairwise(LENGTH_BINS)]
    return [*ends, f"{LENGTH_BINS[-1]}+"]


def _histogram(lengths: Sequence[int]) -> str:
    most = max(lengths, default=0) or 1
    bars = ["█" * round(_BAR * count / most) for count in lengths]
    rows = [
        f"| {name} | {count} | {bar} |"
        for name, count, bar in zip(_bin_names(), lengths, bars, strict=True)
        if count
    ]
    return "\n".join(["| length | rows | |", "|---|---:|---|", *rows])


def _samples(summary: Summary) -> str:
    rows = [f"| {cell(repr(sample.before))} | {cell(repr(sample.after))} |" for sample in summary.samples]
    return "\n".join(["| before | after |", "|---|---|", *rows]) if rows else "None."


def _limits(summary: Summary) -> str:
    lengths = (
        "" if summary.length_unit == "tokens" else "; lengths in tokens, as `curation.max_tokens` is not set"
    )
    return (
        "Not looked at: whether answers are true; names of people, unless `curation.names_model` is set"
        f"{lengths}. Copies in other words are looked for only where `curation.semantic_similarity` is set."
    )
