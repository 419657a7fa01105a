"""The demo's story: data, candidate, gate, canary with users, feedback; then the same once more with what they said."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from ft_assets.demo.loop import Loop, open_instance
from ft_assets.demo.progress import Steps
from ft_assets.demo.summary import summarize, write_summary
from ft_assets.demo.users import Users
from ft_assets.errors import Refused
from ft_assets.recipe import Recipe
from ft_assets.serving.launch import Server
from ft_assets.storage.candidates import list_candidates
from ft_assets.storage.home import Home
from ft_assets.storage.records import find_record
from ft_assets.storage.tables import decisions, rollouts

ROUNDS = 2
_DECIDES = frozenset({"drift_report", "retrain_decision"})
_BURST = 16
_MOST_BURSTS = 40


@dataclass
class Story:
    """Tells the loop of one model, from wherever the home's records say that it stands."""

    home: Home
    recipe: Recipe
    steps: Steps
    started: float = field(default_factory=time.monotonic)

    def tell(self) -> dict[str, Any]:
        """Go round until two candidates have been judged. Returns the summary, which is also written.

        Raises:
            Refused: no candidate could be opened at all, or one was never judged.
        """
        self.open_loop()
        with self.steps.shown(), ExitStack() as self.stack:
            self.loop.recover()
            self._settle()
            self.require_candidate()
            while self._canary() or self._feed():
                self._settle()
        summary = self.finish()
        self._require_verdicts(summary)
        return summary

    def open_loop(self) -> None:
        """Open the Dagster instance, and the loop over it."""
        self.users = Users(self.home, self.recipe)
        self.loop = Loop(self.home, self.recipe, open_instance(self.home), around_run=self.steps.step)

    def _require_verdicts(self, summary: dict[str, Any]) -> None:
        """Raise Refused, with what failed, when a check kept a candidate from its gate."""
        unjudged = [item["candidate"] for item in summary["candidates"] if item["gate"]["verdict"] is None]
        if unjudged:
            why = "; ".join(self.loop.failures) or "a check failed in an earlier run"
            raise Refused(
                f"candidate {', '.join(unjudged)} was never judged: {why}; `make dev` shows the check"
            )

    def require_candidate(self) -> None:
        """Raise Refused, with the retrain decision's reasons, when there is no candidate."""
        if list_candidates(self.home, self.recipe.model):
            return
        latest = sa.select(decisions.c.reasons).where(decisions.c.model == self.recipe.model)
        row = self.home.database.row(latest.order_by(decisions.c.seq.desc()))
        raise Refused(
            "no candidate was opened: " + ("; ".join(row["reasons"]) if row else "there is no data")
        )

    def finish(self) -> dict[str, Any]:
        """Write and return the summary."""
        seconds = {"total": time.monotonic() - self.started, **self.loop.seconds}
        summary = summarize(self.home, self.recipe, seconds)
        write_summary(self.home, summary)
        return summary

    def _settle(self) -> None:
        """Let everything run that can, but leave a third candidate to the daemon of `make dev`."""
        enough = len(list_candidates(self.home, self.recipe.model)) >= ROUNDS
        self.loop.run_until_idle(skip=_DECIDES if enough else frozenset())

    def _canary(self) -> bool:
        """Send users until a running rollout has ended. False when none runs."""
        if not self._rollout_runs():
            return False
        for _ in range(_MOST_BURSTS):
            sent = self._send(_BURST)
            self.loop.ask(f"{self.recipe.model}_canary_sensor", skip=frozenset({"canary_report"}))
            if not sent or not self._rollout_runs():
                return True
        return False

    def _feed(self) -> bool:
        """Send users to the champion until their corrections have opened the next candidate. False when done."""
        rollouts_done = self.home.database.rows(self._my_rollouts())
        if len(list_candidates(self.home, self.recipe.model)) >= ROUNDS or not rollouts_done:
            return False
        return self._send(_BURST) > 0

    def _send(self, count: int) -> int:
        server = self._server
        with self._timed("traffic", "users", f"{count} requests"):
            return self.users.send(server.url, count)

    @cached_property
    def _server(self) -> Server:
        """The running service, started on first use."""
        base = find_record(self.home, "base_models", self.recipe.base.name)
        assert base is not None, "a rollout runs, so an adapter was trained on a prepared base"
        with self._timed("serving", "server"):
            return self.stack.enter_context(Server(self.home, base.digest))

    @contextmanager
    def _timed(self, stage: str, name: str, detail: str = "") -> Iterator[None]:
        started = time.monotonic()
        with self.steps.step([name], detail):
            yield
        self.loop.seconds[stage] += time.monotonic() - started

    def _rollout_runs(self) -> bool:
        return self.home.database.row(self._my_rollouts().where(rollouts.c.state == "running")) is not None

    def _my_rollouts(self) -> sa.Select:
        return sa.select(rollouts.c.id).where(rollouts.c.model == self.recipe.model)
