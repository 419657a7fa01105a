"""What other stages would have left behind: interactions, feedback, batches, verdicts, rollouts."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import sqlalchemy as sa

from ft_assets.sources.batches import open_batch
from ft_assets.sources.example import Example, Message, to_table
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, write_record
from ft_assets.storage.tables import feedback, interactions, receipts, releases, rollouts

MODEL = "tiny"
START = datetime(2026, 11, 1, tzinfo=UTC)


def ask(home: Home, name: str, prompt: str | None = None, **columns: object) -> None:
    """Store one interaction."""
    row = {
        "inference_id": name,
        "model": MODEL,
        "address": "base",
        "messages": [{"role": "user", "content": prompt or f"def {name}(): ...", "tool_calls": None}],
        "answer": "Something or other.",
        "slice": "json",
        "prompt_tokens": 5,
        "answer_tokens": 5,
        "latency_ms": 10.0,
        "created_at": datetime.now(UTC),
        **columns,
    }
    with home.database.write() as connection:
        connection.execute(sa.insert(interactions).values(row))


def say(home: Home, name: str, value: object, kind: str = "edit", minute: int = 0, model: str = MODEL) -> str:
    """Store feedback about an interaction, and return its idempotency key."""
    key = f"{name}-{kind}-{minute}"
    row = {"idempotency_key": key, "inference_id": name, "model": model, "kind": kind, "value": value}
    at = START + timedelta(minutes=minute)
    with home.database.write() as connection:
        connection.execute(sa.insert(feedback).values(author="hash", received_at=at, **row))
    return key


def correct(home: Home, names: Sequence[str]) -> None:
    """One interaction and one edit for every name."""
    for name in names:
        ask(home, name)
        say(home, name, f"Do the {name}.")


def example(text: str, slice: str = "json") -> Example:
    """A prompt and answer made of one text."""
    turns = (Message(role="user", content=text), Message(role="assistant", content=f"Return {text}."))
    return Example(messages=turns, source="test", license="PSF-2.0", slice=slice)


def batch(home: Home, texts: Sequence[str], curated: int | None = None) -> str:
    """Open a batch and curate it: its first `curated` rows come through (default: all)."""
    key = open_batch(home, MODEL, [example(text) for text in texts], "source")
    assert key is not None
    curate(home, key, [example(text) for text in texts[:curated]])
    return key


def curate(home: Home, key: str, rows: Sequence[Example]) -> None:
    """Record the curated rows of a batch."""
    table = to_table(rows)
    keep(home, "curated_batch", key, lambda folder: pq.write_table(table, folder / "rows.parquet"))


def keep(home: Home, asset: str, partition: str, fill, kind="datasets") -> str:
    """Write an artifact and record that an asset partition holds it."""
    digest = home.artifacts.write(kind, fill)
    write_record(home, Record(MODEL, asset, partition, kind, digest))
    return digest


def drift(home: Home, drifted: bool) -> None:
    """Record a drift report."""
    figures = {"drifted": drifted, "headline": "drift in prompt" if drifted else "no drift in prompt"}
    keep(home, "drift_report", "", lambda at: (at / "drift.json").write_text(json.dumps(figures)), "reports")


def judge(home: Home, candidate: str, verdict: str) -> None:
    """Store the gate's receipt of a candidate."""
    row = {"id": f"receipt-{candidate}", "model": MODEL, "candidate": candidate, "verdict": verdict}
    with home.database.write() as connection:
        connection.execute(
            sa.insert(receipts).values(**row, body="{}", signature="", issued_at=datetime.now(UTC))
        )


def roll_out(home: Home, candidate: str, state: str) -> str:
    """Store the passing receipt, release and rollout of a candidate; return its address."""
    judge(home, candidate, "pass")
    address, now = f"{MODEL}@{candidate[-8:]}", datetime.now(UTC)
    release = {"address": address, "model": MODEL, "candidate": candidate, "adapter_digest": "a" * 64}
    rollout = {"id": candidate, "model": MODEL, "candidate": candidate, "challenger": address}
    with home.database.write() as connection:
        connection.execute(
            sa.insert(releases).values(
                **release, base_digest="b" * 64, receipt=f"receipt-{candidate}", lineage={}, released_at=now
            )
        )
        connection.execute(
            sa.insert(rollouts).values(
                **rollout,
                control="base",
                salt="s",
                state=state,
                step=0,
                weight=0.25,
                plan={},
                started_at=now,
                updated_at=now,
            )
        )
    return address


def end_rollout(home: Home, candidate: str, state: str) -> None:
    """Move a candidate's rollout to its end."""
    mine = rollouts.c.candidate == candidate
    with home.database.write() as connection:
        connection.execute(sa.update(rollouts).where(mine).values(state=state, updated_at=datetime.now(UTC)))
