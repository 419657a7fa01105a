"""A DPO run on edit pairs: does the adapter prefer people's words to its own, on prompts that it never saw?

Docstring rows on the real base. An adapter is trained a short while on some of them; then it is asked about others, and
what it answers is "edited" into the docstring that people wrote: a pair, of which its own answer is the worse one. DPO
learns part of the pairs, and the margin is measured on the rest. All through the product's own worker processes. Takes
six or seven minutes of one core; `OMP_NUM_THREADS=1` keeps it there.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ft_assets.recipe import Base, Training, load_recipe
from ft_assets.recipe_training import Alignment
from ft_assets.sources.example import Example, Message, to_table
from ft_assets.storage.artifacts import digest_folder
from ft_assets.training.align_job import AlignmentJob
from ft_assets.training.job import Source, TrainingJob

_HOUSE_STYLE = r"[A-Z][^\n]{15,78}[.]"
_LONGEST_PROMPT = 280
_ROWS = {"train": 96, "validation": 8, "pairs": 40, "held_out": 24}
_TRAINING = Training(
    learning_rate=1e-3, batch_tokens=1_024, max_steps=6, validate_every=6, max_tokens=512, device="cpu"
)
_ALIGNMENT = Alignment(learning_rate=1e-4, batch_size=4, min_rows=16, max_tokens=512)
_ANSWER_TOKENS = 24


def measure(base: Base | None = None) -> dict[str, Any]:
    """`{"sft", "alignment", "validation", "examples", "seconds"}`.

    `validation` is what an aligned adapter's `training.json` holds, on held-out pairs: margins (nats by which the
    better answer's log-probability lies above the worse one's) before and after, and the rise with its 95 % interval.
    """
    from ft_assets.bases.base_models import prepare_base
    from ft_assets.storage.home import Home

    with tempfile.TemporaryDirectory() as name:
        folder, seconds = Path(name), {}
        frozen = prepare_base(Home(folder / "home"), base or Base())
        parts = _parts()
        started = time.monotonic()
        adapter = _train(folder / "sft", frozen, parts)
        seconds["sft"] = _since(started)
        started = time.monotonic()
        pairs, held_out = (_edited(frozen[1], adapter[1], parts[name]) for name in ("pairs", "held_out"))
        seconds["answers"] = _since(started)
        started = time.monotonic()
        facts = _align(folder / "alignment", frozen, adapter, pairs, held_out)
        seconds["alignment"] = _since(started)
        sft = json.loads((adapter[1] / "training.json").read_text())
    return {
        "sft": {name: sft[name] for name in ("rows", "steps", "tokens", "validation_loss")},
        "alignment": {name: facts[name] for name in ("settings", "rows", "steps", "train_loss")},
        "validation": facts["validation"],
        "examples": [_shown(pair) for pair in held_out[:3]],
        "seconds": seconds,
    }


def _parts() -> dict[str, list[Example]]:
    """Short functions of the standard library with unlike docstrings, no row in two parts."""
    from ft_assets.recipe_data import DocstringSource
    from ft_assets.sources.docstrings import read_docstrings

    (source,) = load_recipe("docstrings").sources
    assert isinstance(source, DocstringSource)
    unlike: dict[str, Example] = {}
    for example in read_docstrings(source.packages, source.license, 4_000):
        if len(example.prompt) <= _LONGEST_PROMPT and re.fullmatch(_HOUSE_STYLE, example.answer):
            unlike.setdefault(example.answer, example)
    rows = iter(unlike.values())
    return {part: [next(rows) for _ in range(count)] for part, count in _ROWS.items()}


def _train(work: Path, base: Source, parts: dict[str, list[Example]]) -> Source:
    """The SFT adapter."""
    job = TrainingJob(
        model="bench",
        candidate="bench",
        base_name="bench",
        base=base,
        train=_split(work / "train", parts["train"]),
        validation=_split(work / "validation", parts["validation"]),
        settings=_TRAINING,
        work=work,
    )
    _run("ft_assets.training.worker", work, job.model_dump_json())
    return digest_folder(job.output), job.output


def _edited(base: Path, adapter: Path, examples: Sequence[Example]) -> list[Example]:
    """Preference rows: the docstring, and what the adapter answers in its place. None where it answers the same."""
    from ft_assets.evaluation.generation import Engine, Request

    engine = Engine.load(base, "cpu")
    engine.add_adapter("sft", adapter)
    asked = [Request(example.messages[:-1], "sft", _ANSWER_TOKENS) for example in examples]
    answers = [
        answer.text
        for start in range(0, len(asked), 8)
        for answer in engine.generate(asked[start : start + 8])
    ]
    return [
        example.model_copy(update={"rejected": Message(role="assistant", content=answer)})
        for example, answer in zip(examples, answers, strict=True)
        if answer.strip() not in ("", example.answer)
    ]


def _align(
    work: Path, base: Source, adapter: Source, pairs: list[Example], held_out: list[Example]
) -> dict[str, Any]:
    """Facts of the aligned adapter."""
    job = AlignmentJob(
        candidate="bench",
        base=base,
        adapter=adapter,
        train=_split(work / "train", pairs),
        validation=_split(work / "validation", held_out),
        settings=_ALIGNMENT,
        device="cpu",
        work=work,
    )
    _run("ft_assets.training.align_worker", work, job.model_dump_json())
    return json.loads((job.output / "training.json").read_text())


def _split(folder: Path, rows: Sequence[Example]) -> Source:
    folder.mkdir(parents=True)
    table = to_table(rows)
    pq.write_table(table.append_column("cluster", table["id"]), folder / "rows.parquet")
    return digest_folder(folder), folder


def _run(module: str, work: Path, job: str) -> None:
    (work / "job.json").write_text(job)
    command = [sys.executable, "-m", module, str(work / "job.json")]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise RuntimeError(json.loads((work / "outcome.json").read_text())["failure"])


def _shown(pair: Example) -> dict[str, str]:
    assert pair.rejected is not None
    return {"function": pair.source, "better": pair.answer, "worse": pair.rejected.content}


def _since(started: float) -> float:
    return round(time.monotonic() - started, 1)
