"""What a person sees while the demo runs: the present step, a bar, and the time left."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_EXPECTED = {
    "raw_batch": 2,
    "curated_batch": 3,
    "drift_report": 20,
    "dataset": 3,
    "adapter": 150,
    "eval_report": 70,
    "server": 20,
    "users": 80,
    "canary_report": 2,
}
"""Seconds that each step takes with the real base on two cores: what the time left is guessed from."""


class Steps:
    """Shows the demo's steps. Silent when `console` is None.

    Args:
        console: where to show progress.
        training: folder in which trainers leave `progress.json`.
        rounds: how often the loop goes round, for the time left.
    """

    def __init__(self, console: Console | None, training: Path, rounds: int) -> None:
        self._training = training
        self._expected = rounds * sum(_EXPECTED.values())
        self._done = 0.0
        self._console = console or Console(quiet=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task("starting", total=self._expected, left="")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar for as long as the block lasts."""
        with self._bar:
            yield

    @contextmanager
    def step(self, names: list[str], detail: str = "") -> Iterator[None]:
        """Show one step while it lasts, its time left guessed from what its names usually take."""
        expected = float(sum(_EXPECTED.get(name, 1) for name in names))
        title = f"{', '.join(names)}{f' ({detail})' if detail else ''}"
        started, over = time.monotonic(), threading.Event()
        ticker = threading.Thread(target=self._tick, args=(title, expected, started, over), daemon=True)
        ticker.start()
        try:
            yield
        finally:
            over.set()
            ticker.join()
            took = time.monotonic() - started
            self._done += expected
            self._console.print(f"[dim]{took:6.1f} s[/]  {title}")

    def _tick(self, title: str, expected: float, started: float, over: threading.Event) -> None:
        while not over.wait(0.5):
            spent = min(time.monotonic() - started, expected)
            left = max(self._expected - self._done - spent, 0)
            text = f"about {left / 60:.0f} min left" if left > 60 else "about a minute left"
            self._bar.update(
                self._task, completed=self._done + spent, description=f"{title}{self._trainer()}", left=text
            )

    def _trainer(self) -> str:
        """The latest line of a trainer that reported in the last ten seconds."""
        files = sorted(self._training.glob("*/*/progress.json"), key=lambda path: path.stat().st_mtime)
        if not files or time.time() - files[-1].stat().st_mtime > 10:
            return ""
        now = json.loads(files[-1].read_text())
        return f" · step {now['step']}/{now['steps']}, loss {now['loss']:.2f}"
