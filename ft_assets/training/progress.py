"""How far a training is: a file that anyone may read, and lines for the run's log."""

import json
import time
from collections.abc import Callable

from ft_assets.storage.costs import show_money
from ft_assets.storage.meter import Usage, read_attempt, tell_usage
from ft_assets.training.history import History
from ft_assets.training.job import TrainingJob, write_whole
from ft_assets.training.schedule import learning_rate
from ft_assets.training.tracking import Trackers

_SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Writes the progress file after every step, and a line every few seconds and after every validation.

    Args:
        say: takes a line for people.
        ceiling: tokens a second that the machine's matrix product alone would allow.
        used: the devices that are trained on.
        trackers: where else the numbers of each step go.
    """

    def __init__(
        self,
        job: TrainingJob,
        say: Callable[[str], object],
        ceiling: float,
        used: Usage,
        trackers: Trackers,
    ) -> None:
        self._job, self._say, self._ceiling, self._trackers = job, say, ceiling, trackers
        self._attempt, self._used = read_attempt(job.work), used
        self._start: tuple[float, int, int] | None = None  # clock, steps and tokens when this process began
        self._spoke = 0.0

    def begin(self, history: History) -> None:
        """Start the clock; call it when the base is loaded."""
        self._start = (time.monotonic(), history.step, history.tokens)
        tell_usage(self._job.work, self._used)

    def note(self, history: History, steps: int) -> None:
        """Tell where training is after a step."""
        seconds, done, tokens = self._since_begin(history)
        tell_usage(self._job.work, self._used.model_copy(update={"tokens": tokens}))
        left = round(seconds / done * (steps - history.step), 1) if done and history.stopped is None else 0.0
        validated = bool(history.validation_loss) and history.validation_loss[-1][0] == history.step
        fields = {
            "step": history.step,
            "steps": steps,
            "loss": history.train_loss[-1][1] if history.train_loss else None,
            "validation_loss": history.validation_loss[-1][1] if history.validation_loss else None,
            "learning_rate": learning_rate(max(0, history.step - 1), steps, self._job.settings),
            "gradient_norm": history.gradient_norm[-1][1] if history.gradient_norm else None,
            "tokens_per_s": round(tokens / seconds, 1) if seconds else 0.0,
            "utilisation": self.utilisation(history),
            "seconds_left": left,
            **self._cost(),
        }
        write_whole(self._job.progress, json.dumps(fields))
        self._trackers.note(history.step, fields)
        if validated or history.stopped or time.monotonic() - self._spoke >= _SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            self._say(_line(fields))

    def pace(self, history: History) -> tuple[float, float]:
        """Seconds since `begin`, and tokens trained on a second, validation included."""
        seconds, _, tokens = self._since_begin(history)
        return round(seconds, 1), round(tokens / max(seconds, 1e-9), 1)

    def utilisation(self, history: History) -> float:
        """Share of the machine's own matrix product that useful arithmetic came to: model FLOPs utilisation."""
        return round(self.pace(history)[1] / self._ceiling, 3)

    def _cost(self) -> dict[str, float | str | None]:
        """Money of the candidate so far; null where the recipe names no price."""
        total = None if self._attempt is None else self._attempt.total(self._used.devices)
        if self._attempt is None or self._attempt.cost is None or total is None:
            return {"cost": None, "currency": None}
        return {"cost": round(total, 6), "currency": self._attempt.cost.currency}

    def _since_begin(self, history: History) -> tuple[float, int, int]:
        assert self._start is not None, "begin() comes first"
        clock, step, tokens = self._start
        return time.monotonic() - clock, history.step - step, history.tokens - tokens


def _line(fields: dict) -> str:
    shown = [f"step {fields['step']}/{fields['steps']}"]
    for name in ("loss", "validation_loss"):
        if fields[name] is not None:
            shown.append(f"{name.replace('_', ' ')} {fields[name]:.4f}")
    if fields["gradient_norm"] is not None:
        shown += [
            f"gradient norm {fields['gradient_norm']:.2f}",
            f"learning rate {fields['learning_rate']:.1e}",
        ]
    shown += [
        f"{fields['tokens_per_s']:.0f} tokens/s ({fields['utilisation']:.0%} of the matrix product)",
        f"{fields['seconds_left']:.0f} s left",
    ]
    if fields["cost"] is not None:
        shown.append(f"{show_money(fields['cost'], fields['currency'])} so far")
    return ", ".join(shown)
