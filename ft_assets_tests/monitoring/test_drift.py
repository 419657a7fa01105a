"""Drift reports on real functions and docstrings: what is new is seen, and what is not raises no alarm."""

import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import dagster as dg
import pyarrow.parquet as pq
import pytest

import ft_assets.monitoring.drift as module
import ft_assets.monitoring.plan as plan
from ft_assets.errors import BrokenEnvironment
from ft_assets.flywheel.decision import decide_retrain
from ft_assets.monitoring.assets import build_assets
from ft_assets.monitoring.drift import report_drift
from ft_assets.monitoring.samples import current_sample, reference_candidate, reference_sample
from ft_assets.recipe import Recipe
from ft_assets.registry.ledger import append
from ft_assets.sources.docstrings import function_examples
from ft_assets.sources.example import Example, to_table
from ft_assets.storage.assets import HomeResource
from ft_assets.storage.candidates import get_candidate, open_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, write_record
from ft_assets_tests.flywheel.records import MODEL, ask, batch, curate, judge, keep, roll_out

KNOWN = ("email", "http", "json", "logging", "unittest")
NEW = ("sqlalchemy", "fsspec")


def functions(packages: Sequence[str], each: int) -> list[Example]:
    """Real functions of some packages, in one random order."""
    found = [row for name in packages for row in itertools.islice(function_examples(name), each)]
    random.Random(0).shuffle(found)
    return found


@pytest.fixture(scope="module")
def known() -> list[Example]:
    return functions(KNOWN, 60)


@pytest.fixture(scope="module")
def new() -> list[Example]:
    return functions(NEW, 40)


def train(home: Home, recipe: Recipe, rows: Sequence[Example]) -> str:
    """A candidate whose train split holds these rows."""
    candidate = open_candidate(home, recipe, ["a-batch"], None, ["test"]).key
    keep(home, "train_split", candidate, lambda at: pq.write_table(to_table(rows), at / "rows.parquet"))
    return candidate


def request(home: Home, rows: Sequence[Example], **columns: object) -> None:
    for number, row in enumerate(rows):
        asked = {"answer": row.answer, "slice": row.slice, **columns}
        ask(home, f"{columns.get('address', 'base')}-{number}", row.prompt, **asked)


def record(home: Home, digest: str) -> None:
    write_record(home, Record(MODEL, "drift_report", "", "reports", digest))


def test_without_a_reference_the_report_says_so(home: Home, recipe: Recipe) -> None:
    digest, figures = report_drift(home, recipe)
    assert figures["headline"] == "no reference yet: no candidate's train split was made"
    folder = home.artifacts.path("reports", digest)
    assert json.loads((folder / "drift.json").read_text())["drifted"] is False
    assert "no reference yet" in (folder / "drift.html").read_text()


def test_with_few_requests_nothing_is_judged(home: Home, recipe: Recipe, known: list[Example]) -> None:
    train(home, recipe, known[:100])
    request(home, known[100:110])
    _, figures = report_drift(home, recipe)
    assert figures["headline"].startswith("not enough data: 100 training rows of candidate")
    assert figures["headline"].endswith("and 10 recent requests, and 30 of each are needed")
    assert not figures["drifted"] and not figures["columns"]


@pytest.mark.slow
def test_requests_about_new_packages_are_drift(
    home: Home, recipe: Recipe, known: list[Example], new: list[Example]
) -> None:
    train(home, recipe, known[:200])
    request(home, new)
    digest, figures = report_drift(home, recipe)
    assert (
        figures["drifted"]
        and figures["columns"]["prompt"]["drifted"]
        and figures["columns"]["slice"]["drifted"]
    )
    prompt = figures["columns"]["prompt"]
    assert prompt["score"] > prompt["threshold"] > 0.5
    assert figures["headline"].startswith("drift in prompt (domain_classifier: 0.")
    assert (figures["reference_rows"], figures["current_rows"]) == (200, len({row.prompt for row in new}))
    folder = home.artifacts.path("reports", digest)
    assert json.loads((folder / "drift.json").read_text()) == figures
    assert (folder / "drift.html").stat().st_size > 1_000_000  # the page works without a network


@pytest.mark.slow
def test_two_halves_of_the_same_packages_are_no_drift_and_are_compared_once(
    home: Home, recipe: Recipe, known: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = train(home, recipe, known[:150])
    request(home, known[150:])
    digest, figures = report_drift(home, recipe)
    assert not figures["drifted"] and figures["look"] == 1
    assert figures["headline"].startswith("no drift in prompt, prompt_chars, slice between 150 training rows")
    record(home, digest)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_run_worker", None)  # the same samples need no worker
        assert report_drift(home, recipe) == (digest, figures)
    ask(home, "one-more", "def one_more(): ...")
    again = report_drift(home, recipe)[1]
    assert (again["look"], again["reference"]) == (2, candidate)
    assert again["columns"]["slice"]["threshold"] < figures["columns"]["slice"]["threshold"]


def test_reference_is_the_champions_train_split_and_only_its_answers_are_compared(
    home: Home, recipe: Recipe, known: list[Example]
) -> None:
    champion = train(home, recipe, known[:100])
    later = recipe.model_copy(update={"description": "Another."})
    assert train(home, later, known[:40]) != champion
    address = roll_out(home, champion, "promoted")
    with home.database.write() as connection:
        append(connection, MODEL, "promote", address, address, "test", "better", {})
    candidate = reference_candidate(home, recipe)
    assert candidate is not None and candidate.key == champion
    request(home, known[100:120], address="base")
    request(home, known[120:140], address=address)
    request(home, known[120:130], address="again")
    ask(home, "cut", known[140].prompt, answer="Ret", slice="json", address=address, cancelled=True)
    rows = current_sample(home, candidate).rows
    assert (rows.num_rows, rows["answer_chars"].null_count) == (41, 21)
    assert reference_sample(home, candidate).rows.num_rows == 100


def test_requests_that_name_no_slice_are_not_compared_by_slice(
    home: Home, recipe: Recipe, known: list[Example]
) -> None:
    candidate = get_candidate(home, MODEL, train(home, recipe, known[:100]))
    request(home, known[100:150], slice="default")
    sides = reference_sample(home, candidate).rows, current_sample(home, candidate).rows
    assert list(plan.plan_tests(*sides, look=1)) == ["prompt", "prompt_chars"]


def test_new_curated_rows_stand_in_for_missing_requests(
    home: Home, recipe: Recipe, known: list[Example]
) -> None:
    candidate = get_candidate(home, MODEL, train(home, recipe, known[:100]))
    key = batch(home, ["just one thing"])
    curate(home, key, known[100:150])
    sample = current_sample(home, candidate)
    assert (sample.origin, sample.rows.num_rows) == ("new curated rows", 50)
    assert sample.rows["answer_chars"].null_count == 0


def test_missing_evidently_is_said_plainly(
    home: Home, recipe: Recipe, known: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(home, recipe, known[:100])
    request(home, known[100:150])
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BrokenEnvironment, match=r"pip install 'ft-assets\[monitor\]'"):
        report_drift(home, recipe)


@pytest.mark.slow
def test_failure_of_the_worker_is_shown_and_leaves_nothing(
    home: Home, recipe: Recipe, known: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(home, recipe, known[:100])
    request(home, known[100:150])
    monkeypatch.setitem(plan.METHODS, "prompt_chars", "nonsense")
    with pytest.raises(BrokenEnvironment, match="nonsense"):
        report_drift(home, recipe)
    assert not list(home.scratch.glob("drift-*")) and not list(home.scratch.glob("reports/*"))


@pytest.mark.slow
def test_false_alarms_are_rare(known: list[Example]) -> None:
    from ft_assets.monitoring.samples import _row, _table
    from ft_assets.monitoring.worker import compare, figures

    rows = [_row([{"content": row.prompt}], row.answer, row.slice) for row in known]
    alarms = 0
    for seed in range(20):
        random.Random(seed).shuffle(rows)
        sides = _table(rows[:150]), _table(rows[150 : 150 + random.Random(seed).choice([30, 60, 120])])
        tests = {name: asdict(test) for name, test in plan.plan_tests(*sides, look=1).items()}
        assert list(tests) == list(plan.METHODS)
        found = figures(compare(*(side.to_pandas() for side in sides), tests))
        alarms += any(column["drifted"] for column in found.values())
    assert alarms <= 2  # each report may err with a chance of 0.025


@pytest.mark.slow
def test_prompts_that_share_all_their_words_are_no_drift_and_no_failure() -> None:
    from ft_assets.monitoring.samples import _row, _table
    from ft_assets.monitoring.worker import compare, figures

    same = [_row([{"content": "same" + " " * number}], "x" * number, "default") for number in range(40)]
    sides = _table(same), _table(same)
    tests = plan.plan_tests(*sides, look=1)
    assert list(tests) == ["prompt", "prompt_chars", "answer_chars"]  # a single slice tells nothing
    found = figures(
        compare(*(side.to_pandas() for side in sides), {name: asdict(test) for name, test in tests.items()})
    )
    assert not any(column["drifted"] for column in found.values())


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.mark.slow
def test_asset_shows_the_headline_and_links_the_page_and_the_decision_reads_it(
    home: Home, recipe: Recipe, known: list[Example], new: list[Example], instance: dg.DagsterInstance
) -> None:
    judge(home, train(home, recipe, known[:150]), "fail")
    decide_retrain(home, recipe)  # writes down the candidate that the line above opened by hand
    request(home, new)
    started = time.monotonic()
    asset = build_assets(recipe)[0]
    result = dg.materialize([asset], instance=instance, resources={"home": HomeResource(root=home.root)})
    assert result.success and time.monotonic() - started < 60
    metadata = result.asset_materializations_for_node(f"{MODEL}__drift_report")[0].metadata
    assert str(metadata["headline"].value).startswith("drift in prompt")
    assert metadata["drifted"].value is True
    assert str(metadata["report"].value).startswith("file:///") and "drift.html" in str(
        metadata["report"].value
    )
    assert "| prompt | domain_classifier |" in str(metadata["columns"].value)
    batch(home, ["just one thing"])
    decision = decide_retrain(home, recipe)
    assert decision.retrain and metadata["headline"].value in decision.reasons
