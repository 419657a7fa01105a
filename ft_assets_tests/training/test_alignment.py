"""Alignment: what rows become, what the reference is, that a preference is learnt, and where its result goes."""

import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ft_assets.component import model_definitions
from ft_assets.errors import Refused, WrongInput
from ft_assets.evaluation.assets import build_assets as evaluation_assets
from ft_assets.evaluation.proof import read_verdict
from ft_assets.evaluation.receipts import find_receipt, issue_receipt
from ft_assets.recipe import Recipe, Training
from ft_assets.recipe_training import Alignment
from ft_assets.registry.card import card
from ft_assets.registry.releases import release
from ft_assets.sources.example import Example, Message, to_table
from ft_assets.storage.artifacts import digest_folder
from ft_assets.storage.assets import HomeResource
from ft_assets.storage.candidates import Candidate, get_candidate, open_candidate
from ft_assets.storage.costs import costs_of
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, artifact_of, find_record, write_record
from ft_assets.storage.releases import Release
from ft_assets.training.align_job import AlignmentJob, prepare_alignment
from ft_assets.training.align_worker import align, main
from ft_assets.training.assets import build_assets as training_assets
from ft_assets.training.checks import build_checks as training_checks
from ft_assets.training.job import TrainingJob
from ft_assets.training.preference_margins import rise
from ft_assets.training.preferences import count_usable, read_judged, read_pairs
from ft_assets_tests.evaluation.conftest import write_adapter
from ft_assets_tests.registry.attempts import adapter, attempt, hold
from ft_assets_tests.training.conftest import run_here

LIKED, DISLIKED = "Return {}.", "this function returns {} to you"


def preference(number: int, **changes: Any) -> Example:
    """A question, a better answer and a worse one: which is which shows in every row."""
    answer = Message(role="assistant", content=LIKED.format(number))
    turns = (Message(role="user", content=f"def f{number}(): ..."), answer)
    rejected = Message(role="assistant", content=DISLIKED.format(number))
    return Example(**{"messages": turns, "rejected": rejected, "source": "test", "license": "MIT", **changes})


def judged(number: int, liked: bool) -> Example:
    text = (LIKED if liked else DISLIKED).format(number)
    turns = (Message(role="user", content=f"def g{number}(): ..."), Message(role="assistant", content=text))
    return preference(number, messages=turns, rejected=None, desirable=liked)


TRAIN = [preference(number) for number in range(16)]
HELD_OUT = [preference(number) for number in range(100, 112)]
JUDGED = [judged(number, number % 2 == 0) for number in range(16)]


def write_split(folder: Path, rows: Sequence[Example]) -> tuple[str, Path]:
    """A split's folder with each row a cluster of its own."""
    folder.mkdir(parents=True)
    table = to_table(rows)
    pq.write_table(table.append_column("cluster", table["id"]), folder / "rows.parquet")
    return digest_folder(folder), folder


@pytest.fixture(scope="session")
def tokenizer(tiny_base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_base)


def test_preference_row_becomes_a_prompt_and_two_answers(tokenizer: Any, tmp_path: Path):
    from ft_assets.curation.chat import encode_example, encode_prompt

    row = preference(1)
    _, folder = write_split(tmp_path / "split", [row, judged(2, True)])
    (pair,) = read_pairs(tokenizer, folder, 200).rows
    assert pair.prompt == encode_prompt(tokenizer, row.messages[:-1])
    assert pair.prompt + pair.chosen == encode_example(tokenizer, row.messages)[0]
    assert row.rejected is not None
    assert pair.prompt + pair.rejected == encode_example(tokenizer, [row.messages[0], row.rejected])[0]
    assert pair.cluster == row.id


def test_judged_rows_and_both_answers_of_a_preference_row_are_kto_rows(tokenizer: Any, tmp_path: Path):
    plain = preference(3, rejected=None)
    rows = [preference(1), judged(2, True), plain, judged(4, False)]
    _, folder = write_split(tmp_path / "split", rows)
    found = read_judged(tokenizer, folder, 200).rows
    assert [row.liked for row in found] == [True, False, True, False]
    assert tokenizer.decode(found[1].answer) == DISLIKED.format(1) + tokenizer.eos_token
    assert tokenizer.decode(found[3].answer) == DISLIKED.format(4) + tokenizer.eos_token
    assert count_usable(folder, Alignment(method="kto")) == 3
    assert count_usable(folder, Alignment(method="dpo")) == 1


def test_pair_is_left_out_where_either_answer_is_too_long(tokenizer: Any, tmp_path: Path):
    long = Message(role="assistant", content="x" * 200)
    _, folder = write_split(tmp_path / "split", [preference(1), preference(2, rejected=long)])
    read = read_pairs(tokenizer, folder, 128)
    assert (len(read.rows), read.left_out) == (1, 1)


def test_an_odd_batch_is_refused_for_kto_only():
    with pytest.raises(ValueError, match="batch_size must be even"):
        Alignment(method="kto", batch_size=3)
    Alignment(method="dpo", batch_size=3)


@pytest.fixture(scope="session")
def sft_adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An adapter as SFT leaves it: a few steps on the better answers."""
    work = tmp_path_factory.mktemp("sft")
    rows = [preference(number) for number in range(16)]
    job = TrainingJob(
        model="tiny",
        candidate="20260101T0000-00000000",
        base_name="tiny-random",
        base=(digest_folder(tiny_base), tiny_base),
        train=write_split(work / "train", rows),
        validation=write_split(work / "validation", rows[:4]),
        settings=Training(learning_rate=1e-2, batch_tokens=512, max_steps=4),
        work=work,
    )
    run_here(job)
    return digest_folder(job.output), job.output


@pytest.fixture
def new_job(tmp_path: Path, tiny_base: Path, sft_adapter: tuple[str, Path]) -> Callable[..., AlignmentJob]:
    """Makes a job in a work folder of its own; keyword arguments are settings."""

    def make(name: str = "work", rows: Sequence[Example] = TRAIN, **settings: Any) -> AlignmentJob:
        defaults = {"learning_rate": 2e-3, "epochs": 2, "batch_size": 4, "min_rows": 4}
        work = tmp_path / name
        job = AlignmentJob(
            candidate="20260101T0000-00000000",
            base=(digest_folder(tiny_base), tiny_base),
            adapter=sft_adapter,
            train=write_split(work / "train", rows),
            validation=write_split(work / "validation", HELD_OUT),
            settings=Alignment(**{**defaults, **settings}),
            device="cpu",
            work=work,
        )
        (work / "job.json").write_text(job.model_dump_json())
        return job

    return make


def facts_of(job: AlignmentJob) -> dict[str, Any]:
    return json.loads((job.output / "training.json").read_text())


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_the_reference_is_the_frozen_sft_adapter(
    tiny_base: Path, tokenizer: Any, sft_adapter: tuple[str, Path], tmp_path: Path, method: str
):
    import torch

    from ft_assets.training.alignment import load_to_align, make_trainer

    settings = Alignment(method=method, batch_size=4, max_steps=3, learning_rate=1e-2)
    _, folder = write_split(tmp_path / "split", TRAIN)
    rows = (read_judged if method == "kto" else read_pairs)(tokenizer, folder, 200).rows
    model = load_to_align(tiny_base, sft_adapter[1], torch.device("cpu"))
    trainer = make_trainer(model, tokenizer, rows, settings, tmp_path / "trl")
    trainer.train()
    first, *_, last = (log for log in trainer.state.log_history if "loss" in log)
    # Before the first step, policy and reference are one: DPO's loss is that of a coin.
    if method == "dpo":
        assert float(first["loss"]) == pytest.approx(math.log(2), abs=1e-4)
        assert float(first["rewards/margins"]) == 0.0
        assert float(last["rewards/margins"]) > 0.0
    assert float(first["rewards/chosen"]) == float(first["rewards/rejected"]) == 0.0
    kept = {name: weight for name, weight in model.named_parameters() if ".ref." in name}
    assert kept and not any(weight.requires_grad for weight in kept.values())
    sft = weights_of(sft_adapter[1])
    for name, weight in kept.items():
        assert torch.equal(weight, sft[name.replace(".ref.", ".")])
        assert not torch.equal(weight, model.get_parameter(name.replace(".ref.", ".default.")))


def test_a_dora_adapter_is_its_own_reference_too(tiny_base: Path, tokenizer: Any, tmp_path: Path):
    import torch

    from ft_assets.training.alignment import load_to_align, make_trainer

    start = write_adapter(tiny_base, tmp_path, rank=4, seed=0, use_dora=True)
    _, folder = write_split(tmp_path / "split", TRAIN)
    settings = Alignment(batch_size=4, max_steps=3, learning_rate=1e-2)
    model = load_to_align(tiny_base, start, torch.device("cpu"))
    trainer = make_trainer(
        model, tokenizer, read_pairs(tokenizer, folder, 200).rows, settings, tmp_path / "trl"
    )
    trainer.train()
    first, *_, last = (log for log in trainer.state.log_history if "loss" in log)
    assert float(first["loss"]) == pytest.approx(math.log(2), abs=1e-4)
    assert float(last["rewards/margins"]) > 0.0
    sft = weights_of(start)
    kept = {name: weight for name, weight in model.named_parameters() if "magnitude_vector.ref." in name}
    for name, weight in kept.items():
        assert torch.equal(weight, sft[name.removesuffix(".ref.weight")])
        assert not torch.equal(weight, model.get_parameter(name.replace(".ref.", ".default.")))
    assert kept


def test_dpo_raises_the_validation_margin_and_ends_at_the_same_bytes_twice(
    new_job: Callable[..., AlignmentJob],
):
    job, again = new_job("one"), new_job("two")
    align(job, lambda line: None)
    facts = facts_of(job)
    judged = facts["validation"]
    assert (facts["rows"], facts["steps"], judged["rows"]) == (16, 8, 12)
    assert judged["rise"]["low"] > 0.5 and judged["rise"]["rose"] == 1.0
    risen = judged["after"]["margin"] - judged["before"]["margin"]
    assert judged["rise"]["mean"] == pytest.approx(risen, abs=1e-4)
    assert facts["adapter_digest"] == job.adapter[0] and facts["train_digest"] == job.train[0]
    # The same layout as the SFT adapter's, so that everything downstream takes either.
    assert weights_of(job.output).keys() == weights_of(job.adapter[1]).keys()
    config = "adapter_config.json"
    assert (job.output / config).read_bytes() == (job.adapter[1] / config).read_bytes()
    align(again, lambda line: None)
    assert digest_folder(again.output) == digest_folder(job.output)


@pytest.mark.parametrize(
    ("method", "rows", "counted", "steps"),
    [
        ("kto", TRAIN, 32, 6),
        ("kto", JUDGED, 16, 6),
        ("orpo", TRAIN, 16, 30),  # the likelihood of the better answer comes first, then the preference
    ],
)
def test_other_methods_learn_too(
    new_job: Callable[..., AlignmentJob], method: str, rows: list[Example], counted: int, steps: int
):
    job = new_job(rows=rows, method=method, max_steps=steps, learning_rate=5e-3)
    align(job, lambda line: None)
    facts = facts_of(job)
    assert facts["rows"] == counted
    assert facts["steps"] == steps == len(facts["train_loss"])
    assert facts["validation"]["rise"]["low"] > 0


def test_too_few_rows_that_are_short_enough_are_refused_in_words(new_job: Callable[..., AlignmentJob]):
    job = new_job(min_rows=17)
    assert main(job.work / "job.json") == 1
    told = json.loads(job.outcome.read_text())["failure"]
    assert "16 rows with `rejected`" in told and "`alignment.min_rows` asks for 17" in told


def test_diverged_alignment_is_told_with_the_setting_to_change(new_job: Callable[..., AlignmentJob]):
    job = new_job(learning_rate=1e30, max_steps=4)
    with pytest.raises(WrongInput, match=r"lower `alignment\.learning_rate`"):
        align(job, lambda line: None)
    assert not job.output.exists()


@pytest.mark.slow
def test_killed_alignment_starts_anew_and_ends_at_the_same_bytes(new_job: Callable[..., AlignmentJob]):
    job, undisturbed = new_job("killed"), new_job("undisturbed")
    command = [sys.executable, "-m", "ft_assets.training.align_worker", str(job.work / "job.json")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 3/"):
            process.kill()
            break
    assert process.wait() == -signal.SIGKILL and not job.output.exists()
    process.stdout.close()
    align(job, lambda line: None)
    align(undisturbed, lambda line: None)
    assert digest_folder(job.output) == digest_folder(undisturbed.output)


def test_rise_counts_whole_clusters():
    alone = rise([0.0] * 4, [1.0, 2.0, 3.0, 4.0], ["a", "b", "c", "d"])
    paired = rise([0.0] * 8, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0], [*"aabbccdd"])
    assert alone is not None and paired is not None and alone == paired
    assert alone.mean == 2.5 and alone.rose == 1.0
    assert alone.high - alone.mean == pytest.approx(
        3.182 * math.sqrt(5 / 3 / 4), rel=0.03
    )  # Student's t, 3 degrees
    assert rise([0.0, 0.0], [1.0, 2.0], ["a", "a"]) is None


# In Dagster.


@pytest.fixture
def aligned(recipe: Recipe) -> Recipe:
    """The recipe with a short alignment."""
    alignment = Alignment(learning_rate=2e-3, max_steps=4, batch_size=4, min_rows=4)
    return recipe.model_copy(update={"alignment": alignment})


def materialize(home: Home, recipe: Recipe, candidate: Candidate, folder: Path) -> dg.ExecuteInProcessResult:
    """Run all after `adapter` of a candidate whose splits hold preference rows."""
    splits = {"train_split": TRAIN, "validation_split": HELD_OUT, "eval_split": HELD_OUT, "dataset": TRAIN}
    for name, rows in splits.items():
        digest = home.artifacts.adopt("datasets", write_split(folder / name, rows)[1])
        write_record(home, Record(recipe.model, name, candidate.key, "datasets", digest))
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(f"{recipe.model}_candidates", [candidate.key])
        return dg.materialize(
            [*training_assets(recipe), *training_checks(recipe), *evaluation_assets(recipe)],
            selection=["tiny/aligned_adapter", "tiny/eval_report"],
            instance=instance,
            partition_key=candidate.key,
            resources={"home": HomeResource(root=home.root), "pipes": dg.PipesSubprocessClient()},
        )


@pytest.mark.slow
def test_aligned_adapter_is_what_is_judged(
    home: Home, aligned: Recipe, sft_adapter: tuple[str, Path], tmp_path: Path
):
    candidate = open_candidate(home, aligned, ["b1"], None, ["test"])
    sft = home.artifacts.write(
        "adapters", lambda folder: copytree(sft_adapter[1], folder, dirs_exist_ok=True)
    )
    write_record(home, Record("tiny", "adapter", candidate.key, "adapters", sft))
    result = materialize(home, aligned, candidate, tmp_path)
    spent = costs_of(home, "tiny", candidate.key)
    assert [(row.stage, row.device, row.tokens > 0) for row in spent] == [
        ("alignment", "cpu", True),
        ("evaluation", "cpu", True),
    ]
    final, folder = artifact_of(home, "tiny", "aligned_adapter", candidate.key)
    assert final != sft == json.loads((folder / "training.json").read_text())["adapter_digest"]
    receipt = find_receipt(home, "tiny", candidate.key)
    assert receipt is not None and receipt.body["adapter_digest"] == final
    assert read_verdict(home, candidate) == receipt
    (check,) = result.get_asset_check_evaluations()
    assert check.check_name == "prefers" and check.passed and not check.blocking
    assert check.severity == dg.AssetCheckSeverity.WARN and "margin rose by" in str(check.description)


def hold_aligned(home: Home, recipe: Recipe, started_from: str | None = None) -> tuple[str, str, Release]:
    """Digests of the SFT and the aligned adapter of a released candidate, and its release."""
    candidate, body = attempt(home, recipe, "one")
    sft, train = body["adapter_digest"], find_record(home, "tiny", "train_split", candidate.key)
    assert train is not None
    files = adapter("aligned", body["base_digest"], train.digest)
    facts = {**json.loads(files["training.json"]), "adapter_digest": started_from or sft}
    files["training.json"] = json.dumps(facts)
    final = hold(home, "tiny", "aligned_adapter", candidate.key, "adapters", files)
    issue_receipt(home, {**body, "adapter_digest": final})
    return sft, final, release(home, "tiny", candidate.key)


def test_aligned_adapter_is_what_is_released_and_its_lineage_names_both(home: Home, aligned: Recipe):
    sft, final, made = hold_aligned(home, aligned)
    assert made.adapter_digest == final
    assert (made.lineage["adapter"], made.lineage["sft_adapter"]) == (final, sft)
    assert "aligned by DPO" in card(made, get_candidate(home, "tiny", made.candidate))


def test_adapter_aligned_from_another_one_is_not_released(home: Home, aligned: Recipe):
    with pytest.raises(
        Refused, match=r"the aligned_adapter of .* was trained with adapter_digest 000000000000"
    ):
        hold_aligned(home, aligned, started_from="0" * 64)


def test_too_few_preference_rows_are_refused_before_a_process_starts(
    home: Home, aligned: Recipe, tmp_path: Path
):
    strict = aligned.alignment.model_copy(update={"min_rows": 17})  # pyright: ignore[reportOptionalMemberAccess]
    candidate = open_candidate(home, aligned.model_copy(update={"alignment": strict}), ["b1"], None, ["test"])
    train, adapter = (write_split(tmp_path / name, TRAIN) for name in ("train", "adapter"))
    with pytest.raises(Refused, match=r"16 rows with `rejected` .* asks for 17"):
        prepare_alignment(home, candidate, train, train, adapter)
    assert not (home.scratch / "alignment").exists()


def test_candidate_opened_without_alignment_is_not_aligned(home: Home, recipe: Recipe, tmp_path: Path):
    candidate = open_candidate(home, recipe, ["b1"], None, ["test"])
    split = write_split(tmp_path / "split", TRAIN)
    with pytest.raises(Refused, match="opened with a recipe without `alignment`"):
        prepare_alignment(home, candidate, split, split, split)


def test_graph_has_an_aligned_adapter_only_where_the_recipe_asks_for_one(recipe: Recipe, aligned: Recipe):
    def parents(recipe: Recipe) -> dict[str, set[str]]:
        resources = {"home": HomeResource(), "pipes": dg.PipesSubprocessClient()}
        definitions = dg.Definitions.merge(model_definitions(recipe), dg.Definitions(resources=resources))
        graph = definitions.resolve_asset_graph()
        nodes = (node for node in graph.asset_nodes if node.is_materializable)
        return {node.key.path[-1]: {key.path[-1] for key in node.parent_keys} for node in nodes}

    plain, with_alignment = parents(recipe), parents(aligned)
    assert plain["eval_report"] == {"eval_split", "adapter"}
    assert with_alignment["eval_report"] == {"eval_split", "aligned_adapter"}
    assert with_alignment["aligned_adapter"] >= {"train_split", "validation_split", "adapter"}
    del with_alignment["aligned_adapter"]
    assert {**with_alignment, "eval_report": plain["eval_report"]} == plain


def test_a_recipe_without_alignment_keeps_its_digest(recipe: Recipe, aligned: Recipe):
    silent = {name: value for name, value in recipe.model_dump().items() if value is not None}
    assert "alignment" not in silent
    assert Recipe.model_validate(silent).digest() == recipe.digest() != aligned.digest()
