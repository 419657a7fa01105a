"""The end of a training whose candidate's money is spent."""

import time
from typing import TYPE_CHECKING

from ft_assets.storage.costs import show_money
from ft_assets.storage.meter import STOPPED_BY_BUDGET, Usage, read_attempt
from ft_assets.training.history import History
from ft_assets.training.job import TrainingJob

if TYPE_CHECKING:
    from ft_assets.training.sft import Trainer


class Budget:
    """Stops a training before a step that would pass its budget, or where the one that is done again was stopped.

    Attributes:
        used: the devices that the training holds: a GPU for each process, or the machine.
    """

    def __init__(self, job: TrainingJob, trainer: "Trainer") -> None:
        kind, self._ranks, self._device = trainer.device.type, trainer.ranks, trainer.device
        self.used = Usage(device=kind, devices=trainer.ranks.count if kind == "cuda" else 1)
        self._attempt, self._stop = read_attempt(job.work), job.stop
        self._clock, self._first = time.monotonic(), trainer.history.step

    def check(self, history: History, steps: int) -> None:
        """Call it after every step, in every process; the best weights so far are kept where it stops the training."""
        if history.stopped is not None:
            return
        if self._stop is not None:
            history.stopped = self._stop.reason if history.step == self._stop.step else None
        elif (said := self._spent(history)) is not None:
            history.stopped = said

    def _spent(self, history: History) -> str | None:
        cost = None if self._attempt is None else self._attempt.cost
        if self._attempt is None or cost is None or cost.budget is None:
            return None
        total = self._attempt.total(self.used.devices) or 0.0
        seconds_a_step = (time.monotonic() - self._clock) / max(1, history.step - self._first)
        a_step = cost.price_per_hour * self.used.devices * seconds_a_step / 3600
        passed = total + a_step > cost.budget
        # Clocks differ: where one process alone stopped, the others would wait for it for ever.
        if not self._ranks.sum_up((), float(passed), self._device):
            return None
        return (
            f"{STOPPED_BY_BUDGET}the candidate has cost {show_money(total, cost.currency)} after step {history.step}, "
            f"and another step would pass the {show_money(cost.budget, cost.currency)} of `cost.budget`; the weights "
            f"of step {history.best_step} are kept"
        )
