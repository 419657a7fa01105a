"""Eval rows wear out: verdicts on them are counted, and the next rows taken."""

from pathlib import Path

import pyarrow.parquet as pq

from ft_assets.evaluation.past import Past, epoch_of, for_receipt, past_of, rows_digest
from ft_assets.evaluation.power import Scatter
from ft_assets.evaluation.receipts import issue_receipt
from ft_assets.evaluation.rows import read_eval_rows
from ft_assets.recipe import Recipe
from ft_assets.storage.candidates import Candidate, open_candidate
from ft_assets.storage.home import Home
from ft_assets_tests.evaluation.world import _clustered, example

IDS = ["b", "a"]
SCATTER = Scatter("loss", 0.4)


def judged(home: Home, candidate: Candidate, **says: object) -> None:
    body = {"model": candidate.model, "candidate": candidate.key, "verdict": "pass"}
    issue_receipt(home, {**body, **for_receipt(IDS, 0, SCATTER), **says})


def opened(home: Home, recipe: Recipe, count: int) -> list[Candidate]:
    return [open_candidate(home, recipe, [f"batch-{at}"], None, ["test"]) for at in range(count)]


def test_only_candidates_judged_before_on_the_same_rows_count(home: Home, recipe: Recipe) -> None:
    first, second, third = opened(home, recipe, 3)
    other = open_candidate(home, recipe.model_copy(update={"model": "other"}), ["batch-0"], None, ["test"])
    digest = rows_digest(reversed(IDS))
    assert past_of(home, first, digest) == Past(0, None)
    judged(home, first)
    judged(home, first, verdict="fail")  # judged again: still one candidate
    judged(home, other)
    judged(home, second, eval_rows=rows_digest(["c"]))
    assert past_of(home, third, digest).judged == 2
    assert past_of(home, third, rows_digest(["c"])).judged == 1
    judged(home, third)
    # Judging an early one again says what it said then.
    assert past_of(home, first, digest).judged == 0
    assert past_of(home, second, digest).judged == 2


def test_the_scatter_is_that_of_this_models_last_report_of_the_same_metric(
    home: Home, recipe: Recipe
) -> None:
    first, second = opened(home, recipe, 2)
    judged(home, first)
    assert past_of(home, second, "").scatter == SCATTER
    judged(home, first, scatter={"metric": "chrf", "deviation": 2.0, "changed": None})
    assert past_of(home, second, "").scatter is None
    assert for_receipt(IDS, 0, Scatter("loss", float("inf")))["scatter"] is None


def test_an_epoch_lasts_for_so_many_candidates_of_the_model(home: Home, recipe: Recipe) -> None:
    evaluation = recipe.evaluation.model_copy(update={"rotate_after": 2})
    rotating = recipe.model_copy(update={"evaluation": evaluation})
    candidates = opened(home, rotating, 5)
    epochs = []
    for candidate in candidates:
        epochs.append(epoch_of(home, candidate))
        judged(home, candidate)
    assert epochs == [0, 0, 1, 1, 2]
    assert [epoch_of(home, candidate) for candidate in candidates] == epochs
    assert epoch_of(home, opened(home, recipe, 1)[0]) == 0


def test_each_epoch_has_rows_of_its_own_and_the_first_has_the_lowest_ids(tmp_path: Path) -> None:
    table = _clustered([example(number) for number in range(60)])
    pq.write_table(table, tmp_path / "rows.parquet")
    chosen = [[row.id for row in read_eval_rows(tmp_path, 10, epoch)] for epoch in range(4)]
    assert chosen[0] == sorted(table["id"].to_pylist())[:10]
    assert all(ids == sorted(ids) and len(set(ids)) == 10 for ids in chosen)
    assert len({*map(tuple, chosen)}) == 4
    pq.write_table(table.take(list(range(59, -1, -1))), tmp_path / "rows.parquet")
    assert [row.id for row in read_eval_rows(tmp_path, 10, 1)] == chosen[1]
    assert len(read_eval_rows(tmp_path, 100, 2)) == 60
