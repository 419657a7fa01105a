"""What has happened in a training so far: everything but the weights."""

from pydantic import BaseModel, ConfigDict


class History(BaseModel):
    """Loss curves, the best step, and why training stopped. Part of every checkpoint."""

    model_config = ConfigDict(extra="forbid")

    step: int = 0  # optimizer steps done
    rows: int = 0  # rows seen, counted once an epoch
    tokens: int = 0
    train_loss: list[tuple[int, float]] = []  # nats an answer token
    gradient_norm: list[tuple[int, float]] = []  # before clipping
    validation_loss: list[tuple[int, float]] = []
    best_step: int = 0
    best_loss: float | None = None
    waited: int = 0  # validations since the best one
    stopped: str | None = None

    def add_step(self, loss: float, norm: float, rows: int, tokens: int) -> None:
        self.step += 1
        self.rows += rows
        self.tokens += tokens
        self.train_loss.append((self.step, round(loss, 6)))
        self.gradient_norm.append((self.step, round(norm, 6)))

    def add_validation(self, loss: float, patience: int) -> bool:
        """Note a validation loss; True when it is the best so far. Stops after `patience` that are not."""
        self.validation_loss.append((self.step, round(loss, 6)))
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.best_step, self.waited = loss, self.step, 0
            return True
        self.waited += 1
        if self.waited >= patience:
            self.stopped = (
                f"early: no better validation loss in {patience} validations after step {self.best_step}"
            )
        return False

    def diverge(self, what: str) -> None:
        """Stop because a number is no longer finite; the best weights so far remain."""
        self.stopped = (
            f"diverged: {what} was not finite after step {self.step}; "
            f"the weights of step {self.best_step} are kept; try a lower learning_rate"
        )
