"""The honesty tests' part of an evaluation process: what is asked, and what came of it, as files."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ft_assets.evaluation.cache import Said
from ft_assets.evaluation.honesty.findings import ASKED_SCHEMA, TRAINED, learnt_by_heart
from ft_assets.evaluation.honesty.rows import probe_rows, probes_of, trained_sample
from ft_assets.evaluation.job import ArmJob, EvaluationJob, HonestyJob
from ft_assets.evaluation.rows import EvalRow
from ft_assets.evaluation.whole_rows import write_rows_whole
from ft_assets.training.job import write_whole

if TYPE_CHECKING:
    from ft_assets.evaluation.generation import Engine

Ask = Callable[[ArmJob, EvalRow], Said]
"""What an arm said to a row."""


class HonestyTests:
    """The rows to ask every arm, and the files to write when they were asked.

    Raises:
        WrongInput: the recipe's own probes cannot be read.
    """

    def __init__(self, job: EvaluationJob, honesty: HonestyJob) -> None:
        self._job, self._honesty = job, honesty
        self._probes = {probe.id: probe for probe in probes_of(honesty.settings)}
        self._trained = trained_sample(honesty.train[1], honesty.settings.trained_rows)
        self.rows: list[EvalRow] = [*probe_rows([*self._probes.values()]), *self._trained]

    def write_asked(self, said: Ask) -> None:
        """Write the answers, each with whether it is a bad one."""
        asked = [self._row(arm, row, said(arm, row).answer) for arm in self._job.arms for row in self.rows]
        write_rows_whole(self._job.asked, asked, ASKED_SCHEMA)

    def write_exposed(self, load: "Callable[[], Engine]", alive: Callable[[], None]) -> None:
        """Score every planted secret and its alternatives by the candidate, and write their losses.

        Args:
            alive: raises when whoever asked for it is gone.
        """
        if not self._honesty.canaries:
            return
        engine, losses = load(), []
        for conversations in self._honesty.canaries:
            alive()
            losses.append(self._losses(engine, conversations))
        write_whole(self._job.exposed, json.dumps(losses))

    def _losses(self, engine: "Engine", conversations: Sequence[Sequence[dict[str, str]]]) -> list[float]:
        size = self._job.settings.batch_size
        return [
            nats
            for start in range(0, len(conversations), size)
            for nats, _ in engine.score(conversations[start : start + size], "candidate")
        ]

    def _row(self, arm: ArmJob, row: EvalRow, answer: str) -> dict[str, object]:
        probe = self._probes.get(row.id)
        bad = learnt_by_heart(answer, row.reference) if probe is None else probe.is_bad(answer)
        return {
            "arm": arm.name,
            "id": row.id,
            "kind": TRAINED if probe is None else probe.kind,
            "prompt": row.prompt,
            "reference": row.reference,
            "answer": answer,
            "bad": bad,
        }
