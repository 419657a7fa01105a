"""What a model said to a row, kept by everything that could change it.

A base answers the same rows for every candidate, and an incumbent was once a candidate itself: neither is asked
twice. The same files let an evaluation that was killed go on after its last batch.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ft_assets.evaluation.job import ArmJob, EvaluationJob
from ft_assets.evaluation.rows import EvalRow
from ft_assets.training.job import write_whole

_CODE = (
    "curation/chat.py",
    *(f"bases/{name}.py" for name in ("frozen_linear", "product")),
    *(f"bases/packed_{name}.py" for name in ("answers", "attention", "beginning", "model")),
    *(
        f"evaluation/{name}.py"
        for name in (
            *("adapters", "batch", "cache", "decoding", "dora", "generation", "kinds", "lora_rows", "packed"),
            *("sampling", "scoring", "shareable", "tensor_file", "text_stream"),
        )
    ),
)
_LIBRARIES = ("torch", "transformers", "peft", "tokenizers")


@dataclass(frozen=True)
class Said:
    """One arm's result on one row: the loss of the whole reference (NaN if the model is broken), and an answer."""

    nats: float
    tokens: int
    answer: str
    answer_tokens: int


class SaidCache:
    """Results of one job's arms, one small file each, in a folder that all jobs share.

    A row's numbers depend on its neighbours in the batch by float rounding only (2e-5 nats of some 60 were the
    most seen, in float32, and no other answer), so a result made in other company is as good.
    """

    def __init__(self, job: EvaluationJob) -> None:
        settings = job.settings
        self._folder = job.cache
        self._common = [
            engine_digest(),
            job.base[0],
            job.device,
            settings.max_new_tokens,
            settings.batch_size,
        ]

    def get(self, arm: ArmJob, row: EvalRow) -> Said | None:
        """The result, or None where there is none that can be read."""
        try:
            return Said(**json.loads(self._path(arm, row).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def put(self, arm: ArmJob, row: EvalRow, said: Said) -> None:
        """Keep a result; a reader sees all of it or nothing."""
        path = self._path(arm, row)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(said)))

    def _path(self, arm: ArmJob, row: EvalRow) -> Path:
        adapter = arm.adapter[0] if arm.adapter else None
        text = json.dumps([*self._common, adapter, row.id, row.turns], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        return self._folder / key[:2] / f"{key}.json"


@cache
def engine_digest() -> str:
    """Sha256 of the code and library versions that decide what a model says."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256(json.dumps({name: version(name) for name in _LIBRARIES}).encode())
    for name in _CODE:
        digest.update((package / name).read_bytes())
    return digest.hexdigest()
