"""What changed from one candidate to another: data, settings, scores, and what they answer."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from ft_assets.registry.names import candidate_named
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import find_record

_SHOWN = 5
"""Answers shown beside one another; the count is of all."""


def difference(home: Home, before: str, after: str) -> dict[str, Any]:
    """What is not the same in two candidates, as JSON values; a part that one of them has not yet is left out.

    Args:
        before, after: names as `candidate_named` knows them; of one model or of two.

    Raises:
        WrongInput: there is no such candidate.
        Refused: an artifact of theirs was changed.
    """
    one, other = (candidate_named(home, name)[0] for name in (before, after))
    parts = {
        "data": _data(home, one, other),
        "settings": _settings(home, one, other),
        "scores": _scores(home, one, other),
        "answers": _answers(home, one, other),
    }
    return {
        "before": before,
        "after": after,
        **{name: part for name, part in parts.items() if part is not None},
    }


def _data(home: Home, one: Candidate, other: Candidate) -> dict[str, Any]:
    """Batches, and rows of each side, that only one of them has."""
    batches = [set(candidate.batches) for candidate in (one, other)]
    sides = {}
    for side in ("train", "validation", "eval"):
        folders = _folders(home, one, other, f"{side}_split")
        if folders is not None:
            ids = [_ids(folder) for folder in folders]
            sides[side] = {
                "rows_added": len(ids[1] - ids[0]),
                "rows_removed": len(ids[0] - ids[1]),
                "rows_kept": len(ids[0] & ids[1]),
            }
    return {
        "batches_added": sorted(batches[1] - batches[0]),
        "batches_removed": sorted(batches[0] - batches[1]),
        **sides,
    }


def _settings(home: Home, one: Candidate, other: Candidate) -> dict[str, Any]:
    """Recipe settings that differ, by dotted name: [before, after]; `trained_with` where a search found others."""
    sides = []
    for candidate in (one, other):
        said = dict(_flat("", candidate.recipe.model_dump(mode="json")))
        if (folder := _folder(home, candidate, "adapter")) is not None:
            said |= dict(_flat("trained_with", _json(folder / "training.json")["settings"]))
        sides.append(said)
    names = sorted({*sides[0], *sides[1]})
    return {
        name: [sides[0].get(name), sides[1].get(name)]
        for name in names
        if sides[0].get(name) != sides[1].get(name)
    }


def _scores(home: Home, one: Candidate, other: Candidate) -> dict[str, Any] | None:
    """Means of each candidate by metric: [before, after]. `eval_rows_shared` tells how far they can be compared."""
    folders = _folders(home, one, other, "eval_report")
    if folders is None:
        return None
    means = [_json(folder / "scores.json")["means"]["candidate"] for folder in folders]
    said = [_json(folder / "gate.json")["verdict"] for folder in folders]
    names = sorted({*means[0], *means[1]})
    return {"verdict": said, **{name: [means[0].get(name), means[1].get(name)] for name in names}}


def _answers(home: Home, one: Candidate, other: Candidate) -> dict[str, Any] | None:
    """Eval rows that both answered, and on which of them they differ."""
    folders = _folders(home, one, other, "eval_report")
    if folders is None:
        return None
    said = [_said(folder) for folder in folders]
    shared = sorted(said[0].keys() & said[1].keys())
    changed = [row for row in shared if said[0][row]["answer"] != said[1][row]["answer"]]
    shown = [
        {
            "row": row,
            "prompt": said[0][row]["prompt"],
            "reference": said[0][row]["reference"],
            "before": said[0][row]["answer"],
            "after": said[1][row]["answer"],
        }
        for row in changed[:_SHOWN]
    ]
    return {"eval_rows_shared": len(shared), "answers_changed": len(changed), "examples": shown}


def _said(folder: Path) -> dict[str, dict[str, str]]:
    columns = ["arm", "id", "prompt", "reference", "answer"]
    rows = pq.read_table(folder / "rows.parquet", columns=columns).filter(pc.field("arm") == "candidate")
    return {row["id"]: row for row in rows.to_pylist()}


def _ids(folder: Path) -> set[str]:
    return set(pq.read_table(folder / "rows.parquet", columns=["id"])["id"].to_pylist())


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _folders(home: Home, one: Candidate, other: Candidate, asset: str) -> list[Path] | None:
    """The artifact of both; None where one of them has none yet."""
    found = [_folder(home, candidate, asset) for candidate in (one, other)]
    return [folder for folder in found if folder] if all(found) else None


def _folder(home: Home, candidate: Candidate, asset: str) -> Path | None:
    """Folder of a candidate's artifact; None where it was not materialized."""
    record = find_record(home, candidate.model, asset, candidate.key)
    return home.artifacts.path(record.kind, record.digest) if record else None


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, inner)
    else:
        yield prefix, value
