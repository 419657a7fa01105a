"""Loss curves as a picture, drawn in the training process: matplotlib never enters Dagster's."""

import base64
import io

from ft_assets.training.history import History


def draw_curves(history: History) -> str:
    """PNG of train and validation loss over steps, base64."""
    from matplotlib.figure import Figure  # no pyplot: it keeps global state and looks for a display

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    if history.train_loss:
        axes.plot(*zip(*history.train_loss, strict=True), label="train", color="tab:gray", linewidth=1)
    if history.validation_loss:
        axes.plot(
            *zip(*history.validation_loss, strict=True), label="validation", color="tab:blue", marker="o"
        )
        axes.axvline(
            history.best_step, color="tab:green", linestyle=":", label=f"best: step {history.best_step}"
        )
    axes.set(xlabel="optimizer step", ylabel="nats an answer token")
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
