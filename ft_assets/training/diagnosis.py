"""What the loss curves say, in plain words."""

from collections.abc import Sequence

from ft_assets.storage.meter import STOPPED_BY_BUDGET

Curve = Sequence[Sequence[float]]
"""(step, loss) in order."""

_CLEARLY = 0.01
"""Share of a loss that is more than its noise from one validation to the next."""


def diagnose(train: Curve, validation: Curve, stopped: str | None) -> str:
    """Over- or underfitting, or neither, in a sentence.

    Args:
        train, validation: loss in nats an answer token; the first validation came before the first step.
        stopped: why training ended.
    """
    if stopped is not None and stopped.startswith(("diverged", STOPPED_BY_BUDGET)):
        return stopped
    if len(validation) < 2:
        return "there are too few validation losses to tell over- from underfitting"
    (_, first), (last_step, last) = validation[0], validation[-1]
    best_step, best = min(validation, key=lambda point: point[1])
    if best > first * (1 - _CLEARLY):
        return (
            f"it learnt nothing that helps on rows held out: the validation loss was {first:.4f} before and {best:.4f} "
            f"at best; try a higher `learning_rate`, more steps, or look at the data"
        )
    if last > best * (1 + _CLEARLY):
        fell = _at(train, last_step) < _at(train, best_step)
        return (
            f"overfitting after step {best_step:.0f}: the validation loss rose from {best:.4f} to {last:.4f}"
            f"{' while the train loss went on falling' if fell else ''}; the weights of step {best_step:.0f} are kept; "
            f"more data, fewer `epochs` or a smaller `rank` would help"
        )
    before = validation[-2][1]
    if last < before * (1 - _CLEARLY):
        return (
            f"underfitting: the validation loss still fell from {before:.4f} to {last:.4f} when the steps were used "
            f"up; more `epochs` would help"
        )
    return f"it levelled off at a validation loss of {best:.4f}: neither over- nor underfitting"


def _at(curve: Curve, step: float) -> float:
    """The loss at a step, the nearest before it where it has none."""
    known = [loss for at, loss in curve if at <= step]
    return known[-1] if known else float("inf")
