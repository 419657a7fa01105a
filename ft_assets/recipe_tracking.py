"""The recipe's section on where else the curves of a training are drawn."""

from pydantic import Field, model_validator

from ft_assets.recipe_data import Settings


class Tracking(Settings):
    """Sends each step of a training to tools that a team has; needs the `tracking` extra. It changes no adapter."""

    tensorboard: str | None = Field(
        default=None,
        description="Folder for TensorBoard's event files; each candidate has one of its own in it, `MODEL/CANDIDATE`.",
    )
    mlflow: str | None = Field(
        default=None,
        description="Tracking URI of MLflow (`http://…`, `sqlite:///…`). The model is the experiment, a candidate a "
        "run. Credentials come from MLflow's own environment variables.",
    )

    @model_validator(mode="after")
    def _somewhere(self) -> "Tracking":
        if self.tensorboard is None and self.mlflow is None:
            raise ValueError("name a `tensorboard` folder or an `mlflow` URI, or leave the section out")
        return self
