"""How far an evaluation is: a file that anyone may read, and a line for the run's log after every batch."""

import json
import time
from collections.abc import Sequence

from ft_assets.evaluation.cache import Said
from ft_assets.evaluation.comparison import Arm
from ft_assets.evaluation.job import EvaluationJob
from ft_assets.storage.meter import Usage, tell_usage
from ft_assets.storage.voice import Say
from ft_assets.training.job import write_whole


class Progress:
    """Counts rows of all arms.

    Args:
        say: takes a line for people.
        rows: results wanted.
        unknown: those that are not known from an earlier evaluation.

    Attributes:
        reused: results known already.
        tokens_per_s: generated tokens a second of this process, time for scoring included.
    """

    def __init__(self, job: EvaluationJob, say: Say, rows: int, unknown: int) -> None:
        self._job, self._say, self._rows, self._unknown = job, say, rows, unknown
        self._done, self._tokens, self._start = 0, 0, time.monotonic()
        self._used = Usage()
        self.reused = rows - unknown
        self.tokens_per_s = 0.0
        say(f"{len(job.arms)} arms, {rows} results wanted, {self.reused} of them known already")

    def start(self, device: str) -> None:
        """Start the clock; call it when the base is loaded, with the kind of device that it is on."""
        self._start, self._used = time.monotonic(), Usage(device=device)
        tell_usage(self._job.work, self._used)

    def note(self, arm: Arm, said: Sequence[Said]) -> None:
        """Tell where the evaluation is after a batch."""
        self._done += len(said)
        self._tokens += sum(one.answer_tokens for one in said)
        tokens = self._used.tokens + sum(one.tokens + one.answer_tokens for one in said)
        self._used = self._used.model_copy(update={"tokens": tokens})
        tell_usage(self._job.work, self._used)
        seconds = max(time.monotonic() - self._start, 1e-9)
        self.tokens_per_s = round(self._tokens / seconds, 1)
        fields = {
            "arm": arm,
            "rows_done": self.reused + self._done,
            "rows": self._rows,
            "tokens_per_s": self.tokens_per_s,
            "seconds_left": round(seconds / self._done * (self._unknown - self._done), 1),
        }
        write_whole(self._job.progress, json.dumps(fields))
        self._say(
            f"{arm}: {fields['rows_done']}/{self._rows} results, {self.tokens_per_s:.0f} tokens/s, "
            f"{fields['seconds_left']:.0f} s left"
        )
