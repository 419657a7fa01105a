"""What a row weighs: from its file to the loss of a step, and nowhere else."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch  # noqa: TID253
from safetensors.torch import load_file
from transformers import AutoTokenizer  # noqa: TID253

from ft_assets.curation.curate import curate
from ft_assets.recipe import Recipe, Training
from ft_assets.recipe_data import FileSource
from ft_assets.sources.batch_files import BatchFiles
from ft_assets.sources.readers import read_source
from ft_assets.splitting.dataset import make_dataset, take_side
from ft_assets.storage.candidates import open_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, write_record
from ft_assets.training.adapters import load_with_adapter, trained_parameters
from ft_assets.training.job import TrainingJob
from ft_assets.training.packing import answer_loss, make_pack
from ft_assets.training.rows import Row, read_rows
from ft_assets_tests.curation.rows import words
from ft_assets_tests.training.conftest import Jobs, examples, run_here, write_split

CPU = torch.device("cpu")


def rows_of(folder: Path, base: Path) -> list[Row]:
    return read_rows(AutoTokenizer.from_pretrained(base), folder, 1024)[0]


def weighted(job: TrainingJob, weights: list[float | None]) -> TrainingJob:
    """The job with weights on the rows of both splits, in turn."""
    splits = {}
    for name, count, offset in (("train", 24, 0), ("validation", 6, 1000)):
        rows = [
            row.model_copy(update={"weight": weights[at % len(weights)]})
            for at, row in enumerate(examples(count, offset))
        ]
        splits[name] = write_split(job.work / f"weighted-{name}", rows)
    return job.model_copy(update=splits)


def told(job: TrainingJob) -> dict:
    return json.loads((job.output / "training.json").read_text())


def gradients(model: torch.nn.Module, rows: list[Row]) -> list[torch.Tensor]:
    model.zero_grad()
    answer_loss(model, make_pack(rows, CPU)).backward()
    return [weight.grad.clone() for weight in trained_parameters(model).values()]  # pyright: ignore


def test_a_row_of_weight_two_has_the_gradient_of_the_row_twice(new_job: Jobs, tiny_base: Path) -> None:
    first, second, *_ = rows_of(new_job().train[1], tiny_base)
    model = load_with_adapter(tiny_base, "tiny-random", Training(rank=4))
    for weight in trained_parameters(model).values():
        torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(1))
    heavy, twice, once = (
        gradients(model, rows)
        for rows in ([replace(first, weight=2.0), second], [first, first, second], [first, second])
    )
    for ours, theirs, plain in zip(heavy, twice, once, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item())
        assert not torch.allclose(ours, plain, rtol=1e-2)


def test_a_steps_loss_is_the_weighted_mean_and_validation_asks_for_no_weight(
    new_job: Jobs, tiny_base: Path
) -> None:
    settings = {"batch_tokens": 100_000, "max_steps": 1, "epochs": 1}  # one step of all rows
    plain, heavy = new_job("plain", **settings), weighted(new_job("heavy", **settings), [3.0, 0.25, None])
    for job in (plain, heavy):
        run_here(job)
    rows = rows_of(heavy.train[1], tiny_base)
    assert [row.weight for row in rows[:4]] == [3.0, 0.25, 1.0, 3.0]
    model = load_with_adapter(tiny_base, "tiny-random", heavy.settings)
    with torch.no_grad():
        nats = [answer_loss(model, make_pack([replace(row, weight=1.0)], CPU)).item() for row in rows]
    wanted = sum(row.weight * loss for row, loss in zip(rows, nats, strict=True))
    wanted /= sum(row.weight * sum(row.answer) for row in rows)
    assert told(heavy)["train_loss"][0][1] == pytest.approx(wanted, rel=1e-5)
    assert told(heavy)["train_loss"] != told(plain)["train_loss"]
    assert told(heavy)["validation_loss"][0] == told(plain)["validation_loss"][0]


def test_rows_of_weight_one_train_the_very_adapter_of_rows_without(new_job: Jobs) -> None:
    plain = new_job("plain", max_steps=4)
    ones, twos = (weighted(new_job(str(weight), max_steps=4), [weight]) for weight in (1.0, 2.0))
    for job in (plain, ones, twos):
        run_here(job)
    files = [job.output / "adapter_model.safetensors" for job in (plain, ones, twos)]
    assert files[0].read_bytes() == files[1].read_bytes()
    # If all weigh the same, what they weigh is no matter.
    ours, theirs = load_file(files[0]), load_file(files[2])
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-5) for name in ours)


def test_weights_travel_from_a_file_through_curation_and_dataset_to_the_split(
    home: Home, recipe: Recipe, tmp_path: Path, tiny_base: Path
) -> None:
    weights = {number: (None, 2, 0.5)[number % 3] for number in range(30)}
    rows = [
        {"prompt": words(1000 * at, 9), "completion": f"{words(1000 * at + 500, 9)}.", "weight": weight}
        for at, weight in weights.items()
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("raw", "curated", "train"):
        (tmp_path / name).mkdir()
    source = FileSource(kind="file", path=str(tmp_path / "a.jsonl"), license="MIT")
    BatchFiles(None).write(read_source(source), tmp_path / "raw")
    curate(tmp_path / "raw", tmp_path / "curated", "b1", recipe.curation, [])
    digest = home.artifacts.adopt("datasets", tmp_path / "curated")
    write_record(home, Record("tiny", "curated_batch", "b1", "datasets", digest))
    dataset = make_dataset(home, open_candidate(home, recipe, ["b1"], None, ["test"]))
    train = take_side(dataset.rows, "train")
    pq.write_table(train, tmp_path / "train" / "rows.parquet")
    wanted = [weights[line - 1] or 1.0 for line in train["line"].to_pylist()]
    assert [row.weight for row in rows_of(tmp_path / "train", tiny_base)] == wanted
    assert set(wanted) == {1.0, 2.0, 0.5}
