"""Splits of real docstrings' size, and jobs that train on them."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ft_assets.recipe import Training
from ft_assets.sources.example import Example, Message, to_table
from ft_assets.storage.artifacts import digest_folder
from ft_assets.training.job import Outcome, TrainingJob

Jobs = Callable[..., TrainingJob]


def examples(count: int, offset: int = 0) -> list[Example]:
    """Rows of different lengths whose answers follow a pattern that can be learnt."""
    return [
        Example(
            messages=(
                Message(role="user", content=f"def f{number}({'x, ' * (number % 5)}): pass"),
                Message(role="assistant", content=f"Return the number {number}."),
            ),
            source="test",
            license="MIT",
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for number in range(offset, offset + count)
    ]


def write_split(folder: Path, rows: list[Example]) -> tuple[str, Path]:
    """A split's folder, as the splitting stage hands it over, and its digest."""
    folder.mkdir(parents=True)
    pq.write_table(to_table(rows), folder / "rows.parquet")
    return digest_folder(folder), folder


@pytest.fixture
def new_job(tmp_path: Path, tiny_base: Path) -> Jobs:
    """Makes a job in a work folder of its own; keyword arguments are settings."""

    def make(name: str = "work", train: int = 24, validation: int = 6, **settings: Any) -> TrainingJob:
        defaults = {
            "learning_rate": 1e-2,
            "batch_tokens": 256,
            "epochs": 4,
            "validate_every": 4,
            "patience": 99,
        }
        work = tmp_path / name
        job = TrainingJob(
            model="tiny",
            candidate="20260101T0000-00000000",
            base_name="tiny-random",
            base=(digest_folder(tiny_base), tiny_base),
            train=write_split(work / "train", examples(train)),
            validation=write_split(work / "validation", examples(validation, offset=1000)),
            settings=Training(**{**defaults, **settings}),
            work=work,
        )
        (work / "job.json").write_text(job.model_dump_json())
        return job

    return make


def start_worker(job: TrainingJob) -> subprocess.Popen[str]:
    """The training process of a job, its lines readable from standard output."""
    command = [sys.executable, "-m", "ft_assets.training.worker", str(job.work / "job.json")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run_here(job: TrainingJob) -> Outcome:
    """Train in this process, which spares a start of seconds."""
    import os

    from ft_assets.training.worker import train

    return train(job, lambda line: None, os.getppid())
