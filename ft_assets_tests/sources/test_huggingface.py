"""Hugging Face datasets are read from Arrow files, a batch at a time, and run no code."""

from pathlib import Path
from typing import Any

import pytest

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.recipe_data import HuggingFaceSource
from ft_assets.sources.example import Example
from ft_assets.sources.readers import read_source, source_stamp
from ft_assets.sources.rejected import Rejected
from ft_assets_tests.sources.read import TURNS, apart


def _source(dataset: str | Path, **settings: Any) -> HuggingFaceSource:
    return HuggingFaceSource.model_validate(
        {"kind": "huggingface", "dataset": str(dataset), "license": "MIT", **settings}
    )


def _read(dataset: str | Path, **settings: Any) -> tuple[list[Example], list[Rejected]]:
    return apart(read_source(_source(dataset, **settings)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one`: a dataset of 2,500 rows; `two`: one of two splits."""
    import datasets

    folder = tmp_path_factory.mktemp("saved")
    rows = [{"messages": TURNS, "picture": b"\0", "id": number} for number in range(2_500)]
    datasets.Dataset.from_list(rows).save_to_disk(folder / "one")
    short = datasets.Dataset.from_dict({"prompt": ["a", None], "completion": ["b", "c"]})
    datasets.DatasetDict({"train": short, "test": short.select([0])}).save_to_disk(folder / "two")
    return folder


def test_a_saved_folder_is_read_in_order(saved: Path) -> None:
    examples, rejected = _read(saved / "one")
    assert [example.line for example in examples] == list(range(1, 2_501))
    assert examples[1_500].source == "one#1500"
    assert rejected == []


def test_a_split_is_chosen_and_a_wrong_one_named(saved: Path) -> None:
    examples, (bad,) = _read(saved / "two")
    assert (len(examples), bad.source, bad.line, bad.reason) == (1, "two", 2, "unknown_shape")
    assert len(_read(saved / "two", split="test")[0]) == 1
    with pytest.raises(WrongInput, match="correct `split`"):
        _read(saved / "two", split="validation")


def test_what_is_no_dataset_is_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="name a folder that `save_to_disk` wrote"):
        _read(tmp_path / "absent")
    with pytest.raises(WrongInput, match="name a folder that `save_to_disk` wrote"):
        _read(tmp_path)


def test_a_damaged_folder_is_refused(saved: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(saved / "one", tmp_path / "copy")
    (arrow,) = (tmp_path / "copy").glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:1_000])
    with pytest.raises(WrongInput, match="copy"):
        _read(tmp_path / "copy")


def test_a_hub_that_cannot_be_reached_is_a_broken_environment() -> None:
    with pytest.raises(BrokenEnvironment, match="nobody/nothing: the hub cannot be reached"):
        _read("nobody/nothing")


def test_stamps_are_of_the_files_or_the_commit(saved: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(saved / "two", tmp_path / "copy")
    before = source_stamp(_source(tmp_path / "copy"))
    assert before and source_stamp(_source(tmp_path / "copy")) == before
    (tmp_path / "copy" / "train" / "more").write_text("x")
    assert source_stamp(_source(tmp_path / "copy")) != before
    assert source_stamp(_source("owner/name", revision="a" * 40)) == "a" * 40
    assert source_stamp(_source("owner/name")) != "main"
