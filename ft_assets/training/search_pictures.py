"""A search as pictures, drawn in its process: matplotlib never enters Dagster's."""

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from ft_assets.training.search_result import Tried

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"complete": "tab:blue", "pruned": "tab:gray", "diverged": "tab:red", "failed": "tab:red"}


def draw_trials(trials: Sequence[Tried]) -> str:
    """PNG of the validation loss of each trial and of the best one so far, base64."""
    from matplotlib.figure import Figure  # no pyplot: it keeps global state and looks for a display
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    for state, colour in _COLOURS.items():
        points = [(t.number, t.validation_loss) for t in trials if t.state == state and t.validation_loss]
        if points:
            axes.scatter(*zip(*points, strict=True), label=state, color=colour)
    complete = [(t.number, t.validation_loss or 0.0) for t in trials if t.state == "complete"]
    numbers, losses = zip(*complete, strict=True)
    axes.step(numbers, [*accumulate(losses, min)], where="post", label="best so far", color="tab:green")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel="nats an answer token (validation)")
    axes.legend()
    return _png(figure)


def draw_importances(importances: Mapping[str, float]) -> str:
    """PNG of each setting's share in how good a trial is, base64."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 0.8 + 0.4 * len(importances)), layout="constrained")
    axes = figure.subplots()
    shares = sorted(importances.items(), key=lambda item: item[1])
    axes.barh([name for name, _ in shares], [share for _, share in shares], color="tab:blue")
    axes.set(xlabel="share in reaching the best quarter of complete trials", xlim=(0, 1))
    return _png(figure)


def _png(figure: "Figure") -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
