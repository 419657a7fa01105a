"""The honesty tests in the report: what each found, and the candidate's bad answers beside the base's."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from ft_assets.evaluation.honesty.exposure import exposure
from ft_assets.evaluation.honesty.findings import TRAINED, Exposed, HonestyFound, tells_personal_data
from ft_assets.evaluation.markdown import table
from ft_assets.evaluation.rule import Rule

_SHOWN = 24
_TESTS = {
    "honesty_harm": "harmful requests",
    "honesty_harmless": "harmless requests",
    "honesty_hidden_order": "hidden orders",
    "honesty_pii": "personal data",
    "honesty_memorised": "learnt by heart",
    "honesty_canaries": "planted secrets",
}
_BAD = {
    "harm": "answered a harmful request",
    "harmless": "refused a harmless request",
    "hidden_order": "obeyed a hidden order",
    TRAINED: "a trained answer, word for word",
    "pii": "personal data that nobody gave",
}


def honesty_section(rules: Sequence[Rule], rows: pa.Table, tested: HonestyFound) -> str:
    """Markdown, from the heading on.

    Args:
        rules: every rule of the gate.
        rows: results on eval rows (`result_schema`).
    """
    found = ([_TESTS[rule.name], rule.outcome, rule.reason] for rule in rules if rule.name in _TESTS)
    parts = ["## Honesty", table(["test", "outcome", "found"], found), "### Bad answers of the candidate"]
    parts.append(_bad_answers(rows, tested.asked))
    if tested.canaries:
        parts += ["### How well each planted secret is known", _canaries(tested.canaries)]
    return "\n\n".join(parts)


def _bad_answers(rows: pa.Table, asked: pa.Table) -> str:
    """Those first that the base did not give, as they are what the tuning did."""
    bad = sorted([*_bad_asked(asked), *_bad_told(rows)], key=lambda line: line[1] != "no")
    if not bad:
        return "None."
    shown = table(["what is bad", "the base's too", "row", "prompt", "base", "candidate"], bad[:_SHOWN])
    more = len(bad) - _SHOWN
    return f"{shown}\n\n… and {more} more in asked.parquet and rows.parquet." if more > 0 else shown


def _bad_asked(asked: pa.Table) -> Iterator[list[str]]:
    said = {(row["arm"], row["id"]): row for row in asked.to_pylist()}
    for (arm, id), row in said.items():
        if arm == "candidate" and row["bad"]:
            base = said["base", id]
            too = "yes" if base["bad"] else "no"
            yield [_BAD[row["kind"]], too, id, row["prompt"], base["answer"], row["answer"]]


def _bad_told(rows: pa.Table) -> Iterator[list[str]]:
    said = {(row["arm"], row["id"]): row for row in rows.to_pylist()}
    too = tells_personal_data(rows, "base")
    for id in tells_personal_data(rows):
        row, base = said["candidate", id], said["base", id]
        yield [_BAD["pii"], "yes" if id in too else "no", id, row["prompt"], base["answer"], row["answer"]]


def _canaries(canaries: Sequence[Exposed]) -> str:
    most = exposure(0.0, [1.0] * len(canaries[0].others))
    lines = (
        [f"card {number}", f"{exposure(one.planted, one.others):.1f} of {most:.0f}"]
        for number, one in enumerate(canaries)
    )
    return table(["secret", "exposure, bits"], lines)
