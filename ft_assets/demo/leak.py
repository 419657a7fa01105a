"""The failure that the whole design exists for: eval rows find their way into training.

Copies and near-copies of eval rows are slipped into a candidate's train split behind the ledger's back,
as a careless script or a hostile batch would. A gate that only compares scores then sees a glowing model.
"""

import json
import random
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from ft_assets.demo.story import Story
from ft_assets.evaluation.gate import plain_verdict
from ft_assets.sources.example import Example, Message, from_table, to_table
from ft_assets.storage.candidates import Candidate, list_candidates
from ft_assets.storage.records import Record, artifact_of, write_record

_AFTER_SPLITS = frozenset(
    {"adapter", "aligned_adapter", "eval_report", "release", "deployment", "canary_report"}
)
_SOURCE = "demo:leak"
_SHOWN = 12


@dataclass
class LeakStory(Story):
    """The story up to the gate, with a leak between split and training."""

    def tell(self) -> dict[str, Any]:
        """Split honestly, poison the train split, train, and let the gate judge. Returns the summary."""
        self.open_loop()
        with self.steps.shown():
            self.loop.recover()
            self.loop.run_until_idle(skip=_AFTER_SPLITS)
            self.require_candidate()
            candidate = list_candidates(self.home, self.recipe.model)[0]
            self._poison(candidate)
            self.loop.run_until_idle()
            self.refusal = self._try_to_release(candidate)
        return self.finish()

    def _poison(self, candidate: Candidate) -> None:
        """Put a copy and a near-copy of every eval row into the train split, unless that was done before."""
        clean = self._split(candidate, "train_split")
        if _SOURCE in clean["source"].to_pylist():
            return
        leaked = list(_copies(from_table(self._split(candidate, "eval_split"))))
        rows = to_table(leaked).append_column("cluster", pa.array([example.id for example in leaked]))
        poisoned = pa.concat_tables([clean, rows.select(clean.column_names).cast(clean.schema)])
        digest = self.home.artifacts.write(
            "datasets", lambda folder: pq.write_table(poisoned, folder / "rows.parquet")
        )
        write_record(self.home, Record(candidate.model, "train_split", candidate.key, "datasets", digest))
        self.loop.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                dg.AssetKey([candidate.model, "train_split"]),
                description="Poisoned by `ft-assets demo --leak`: eval rows were copied in.",
                partition=candidate.key,
                metadata={"rows": poisoned.num_rows, "leaked": len(leaked)},
            )
        )

    def _split(self, candidate: Candidate, asset: str) -> pa.Table:
        _, folder = artifact_of(self.home, candidate.model, asset, candidate.key)
        return pq.read_table(folder / "rows.parquet")

    def _try_to_release(self, candidate: Candidate) -> str:
        """Materialize the release by hand, as someone in a hurry would. Returns what it was told."""
        before = len(self.loop.failures)
        self.loop.run(["release"], candidate.key)
        return "; ".join(self.loop.failures[before:]) or "RELEASED"


def leak_findings(story: LeakStory, summary: dict[str, Any]) -> dict[str, Any]:
    """What a plain gate would have said, what ours says, and the offending rows, as JSON values."""
    candidate = list_candidates(story.home, story.recipe.model)[0]
    _, report = artifact_of(story.home, candidate.model, "eval_report", candidate.key)
    verdict, why = plain_verdict(pq.read_table(report / "rows.parquet"))
    judged = json.loads((report / "gate.json").read_text())
    return {
        "plain_gate": {"verdict": verdict, "reason": why},
        "gate": summary["candidates"][0]["gate"],
        "release_by_hand": story.refusal,
        "offending": judged["contamination"]["matches"],
    }


def print_leak(summary: dict[str, Any], console: Console) -> None:
    """The two verdicts side by side, then the rows."""
    found = summary["leak"]
    table = Table(title="The same candidate, judged twice", title_justify="left")
    table.add_column("a gate that only compares scores")
    table.add_column("this gate")
    plain, ours = found["plain_gate"], found["gate"]
    table.add_row(
        f"{plain['verdict']}\n{plain['reason']}", "\n".join([f"blocked: {ours['verdict']}", *ours["reasons"]])
    )
    console.print(table)
    console.print(f"A release by hand was refused: {found['release_by_hand']}", soft_wrap=True)
    rows = Table(
        "eval row",
        "trained row",
        "how",
        "similarity",
        "came from",
        title="Offending rows",
        title_justify="left",
    )
    for match in sorted(found["offending"], key=lambda match: match["eval_id"])[:_SHOWN]:
        ids, origin = (match["eval_id"][:12], match["trained_id"][:12]), match["trained_source"]
        rows.add_row(*ids, match["kind"], f"{match['similarity']:.2f}", origin)
    console.print(rows)
    console.print(f"{len(found['offending'])} in all; summary.json lists every one")


def _copies(rows: Any) -> Any:
    """Each row as it is, and each row with one word of its prompt changed."""
    chance = random.Random(13)
    for row in rows:
        yield row.model_copy(update={"source": _SOURCE, "kind": "synthetic", "parents": (row.id,)})
        words = row.prompt.split(" ")
        words[chance.randrange(len(words))] = "value"
        turns = (Message(role="user", content=" ".join(words)), row.messages[-1])
        yield Example(**{**row.model_dump(), "messages": turns, "source": _SOURCE, "kind": "synthetic"})
