"""What a search found: `study.json`, the content of the `studies` artifact."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ft_assets.recipe import Training
from ft_assets.recipe_search import Choice, Search

STUDY_FILE = "study.json"

State = Literal["complete", "pruned", "diverged", "failed"]
"""How a trial ended; only a complete one can be the best."""


class Tried(BaseModel):
    """One trial. `validation_loss` is the best that it reached, also where it was stopped early."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    state: State
    settings: dict[str, Choice]
    validation_loss: float | None = None
    steps: int = 0
    reason: str | None = None


class StudyResult(BaseModel):
    """A finished search. No times and no places: the same inputs must give the same bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    best_trial: int
    best_settings: dict[str, Choice]
    best_validation_loss: float
    trials: list[Tried]
    search: Search
    training: Training
    base_digest: str
    train_digest: str
    validation_digest: str

    def table(self) -> str:
        """The trials as a Markdown table, in the order they were begun."""
        names = [*self.search.space]
        head = ["trial", *names, "validation loss", "steps", "ended"]
        rows = [self._cells(tried, names) for tried in self.trials]
        return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])

    def _cells(self, tried: Tried, names: list[str]) -> list[str]:
        mark = " (best)" if tried.number == self.best_trial else ""
        loss = "" if tried.validation_loss is None else f"{tried.validation_loss:.4f}"
        reason = f": {tried.reason}" if tried.reason else ""
        values = [show(tried.settings[name]) for name in names]
        return [f"{tried.number}{mark}", *values, loss, str(tried.steps), f"{tried.state}{reason}"]


def read_study(folder: Path) -> StudyResult:
    """The result that a `studies` artifact holds."""
    return StudyResult.model_validate_json((folder / STUDY_FILE).read_text())


def show(value: Any) -> str:
    """A setting's value for people: numbers that were drawn have more digits than anyone reads."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
