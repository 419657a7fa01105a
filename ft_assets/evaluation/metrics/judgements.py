"""Verdicts of a judge, each asked for once and kept."""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import get_ident
from typing import Literal

from ft_assets.evaluation.metrics.chat_endpoint import ChatEndpoint
from ft_assets.evaluation.metrics.comparison_turns import (
    INSTRUCTIONS,
    Comparison,
    Verdict,
    comparison_turns,
    read_verdict,
)
from ft_assets.recipe_metrics import Judge
from ft_assets.storage.voice import Say

_AT_ONCE = 8
_TOLD_EVERY = 100
_TRIES = 2  # questions whose reply holds no verdict are asked once more


@dataclass(frozen=True)
class _Judged:
    verdict: Verdict | Literal["unparsed"]
    tokens: int


class Judgements:
    """The judge's verdict on comparisons, one small file each in a folder that all evaluations share.

    Args:
        alive: called before every question; raises where nobody waits for the answer any more.

    Attributes:
        asked, reused, unparsed, tokens: see `Bill`.
    """

    def __init__(
        self, judge: Judge, endpoint: ChatEndpoint, folder: Path, say: Say, alive: Callable[[], None]
    ) -> None:
        self._judge, self._endpoint, self._folder = judge, endpoint, folder
        self._say, self._alive = say, alive
        self.asked = self.reused = self.unparsed = self.tokens = 0

    def of(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """A verdict on each; a reply that holds none, twice, counts as a tie.

        Raises:
            BrokenEnvironment: the judge cannot be reached, or refuses. What it said before that is kept.
        """
        different = list(dict.fromkeys(comparisons))
        known = {each: judged for each in different if (judged := self._read(each))}
        unknown = [each for each in different if each not in known]
        self.reused += len(known)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for each, judged in zip(unknown, threads.map(self._ask, unknown), strict=True):
                known[each] = judged
                self._note(judged, len(unknown))
        self.unparsed += sum(judged.verdict == "unparsed" for judged in known.values())
        return ["tie" if (said := known[each].verdict) == "unparsed" else said for each in comparisons]

    def _note(self, judged: _Judged, wanted: int) -> None:
        self.asked += 1
        self.tokens += judged.tokens
        if self.asked % _TOLD_EVERY == 0:
            self._say(f"{self._judge.called}: {self.asked} comparisons judged, {wanted} wanted now")

    def _ask(self, comparison: Comparison) -> _Judged:
        tokens = 0
        for _ in range(_TRIES):
            self._alive()
            reply = self._endpoint.ask(comparison_turns(self._judge.rubric, comparison))
            tokens += reply.tokens
            if verdict := read_verdict(reply.text):
                break
        judged = _Judged(verdict or "unparsed", tokens)
        self._write(comparison, judged)
        return judged

    def _read(self, comparison: Comparison) -> _Judged | None:
        try:
            return _Judged(**json.loads(self._path(comparison).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _write(self, comparison: Comparison, judged: _Judged) -> None:
        path = self._path(comparison)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{get_ident()}")
        draft.write_text(json.dumps(asdict(judged)))
        draft.replace(path)

    def _path(self, comparison: Comparison) -> Path:
        judge = self._judge
        asked = [INSTRUCTIONS, judge.url, judge.model, judge.rubric, asdict(comparison)]
        key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        return self._folder / key[:2] / f"{key}.json"
