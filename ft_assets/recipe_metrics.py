"""The recipe's metrics: what is measured of each answer, one class a kind. `docs/metrics.md` explains them."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from ft_assets.recipe_data import Fraction, Pattern, Settings

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


class _Metric(Settings):
    name: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9_]*$",
        description="What it is called in scores and under `gate`. Null: its kind.",
    )

    @property
    def called(self) -> str:
        """The metric's name in scores, margins and reports."""
        return self.name or self.kind  # type: ignore[attr-defined]


class Chrf(_Metric):
    """Character n-gram F-score with the reference, 0 to 100 (chrF2, Popović 2015)."""

    kind: Literal["chrf"] = "chrf"


class Exact(_Metric):
    """Whether the answer is the reference, white space aside."""

    kind: Literal["exact"] = "exact"


class RougeL(_Metric):
    """Longest common subsequence of words with the reference, as an F-score, 0 to 100 (ROUGE-L, Lin 2004)."""

    kind: Literal["rouge_l"] = "rouge_l"


class PatternMatch(_Metric):
    """Whether the whole answer, its outer white space aside, matches a regular expression."""

    kind: Literal["pattern"] = "pattern"
    pattern: Pattern = Field(description="Regular expression, as for `re.fullmatch`.")


class JsonSchema(_Metric):
    """Whether the whole answer is JSON that a schema allows."""

    # Under its own name too: what `model_dump` wrote must be readable again, and it writes names.
    model_config = ConfigDict(populate_by_name=True)

    kind: Literal["json_schema"] = "json_schema"
    schema_: dict[str, Any] = Field(
        alias="schema",
        description="JSON Schema, draft 2020-12. A `$ref` must point into it: nothing is ever fetched.",
    )

    @field_validator("schema_")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        if str(schema.get("$schema", _DRAFT)).rstrip("#") != _DRAFT:
            raise ValueError(
                f"schema: $schema is {schema['$schema']!r}; only draft 2020-12 is read: {_DRAFT}"
            )
        _require_schema(schema)
        _require_references(schema)
        return schema


class ToolCalls(_Metric):
    """Whether the answer calls the tools that the reference calls, with equal arguments, in any order."""

    kind: Literal["tool_calls"] = "tool_calls"


class Label(_Metric):
    """Whether the answer is the reference's label. The report also shows precision and recall of each label."""

    kind: Literal["label"] = "label"
    labels: list[str] = Field(min_length=2, description="The labels, as answers spell them; case is ignored.")

    @field_validator("labels")
    @classmethod
    def _differ(cls, labels: list[str]) -> list[str]:
        plain = [plain_label(label) for label in labels]
        if "" in plain:
            raise ValueError("labels: an empty label cannot be told from no answer; give it a word")
        twice = sorted({label for label in plain if plain.count(label) > 1})
        if twice:
            raise ValueError(f"labels: {', '.join(twice)} is there twice, case and white space aside")
        return labels


class Judge(_Metric):
    """How often a model prefers the answer to the reference, by a rubric: 1, 0, or ½ where it depends on the order."""

    kind: Literal["judge"] = "judge"
    url: str = Field(
        pattern=r"^https?://",
        description="Base of an OpenAI-compatible API, such as `http://127.0.0.1:8000/v1`.",
    )
    model: str = Field(description="Name of the judging model there.")
    rubric: str = Field(min_length=10, description="What makes an answer better, in your own words.")
    key_variable: str | None = Field(
        default=None, description="Environment variable that holds the API key. Null: none is sent."
    )
    labels: str | None = Field(
        default=None,
        description="JSONL file of comparisons that people made (`prompt`, `answer_a`, `answer_b`, `better`: a, b or "
        "tie), on which the judge's agreement with them is measured.",
    )
    min_kappa: Fraction = Field(
        default=0.4, description="Cohen's kappa with people under which the judge is not believed."
    )
    price_per_million_tokens: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Read and written, for the cost."
    )


class PythonFunction(_Metric):
    """A function of yours: `def score(prompt: str, answer: str, reference: str) -> float`."""

    kind: Literal["python"] = "python"
    function: str = Field(
        pattern=r"^[\w.]+:\w+$", description="`package.module:function`, importable where evaluation runs."
    )
    up: bool = Field(default=True, description="Whether a higher score is better.")
    worst: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="Score of an empty answer, and where the function fails. No score counts as worse than it.",
    )
    margin: float = Field(
        gt=0, allow_inf_nan=False, description="What may be lost unless `gate.margins` says otherwise."
    )


Metric = Annotated[
    Chrf | Exact | RougeL | PatternMatch | JsonSchema | ToolCalls | Label | Judge | PythonFunction,
    Field(discriminator="kind"),
]


def plain_label(text: str) -> str:
    """How labels are compared: case and white space aside."""
    return " ".join(text.split()).casefold()


def _require_schema(schema: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.json_path}: {error.message:.200}") from error


def _require_references(schema: dict[str, Any]) -> None:
    """Follow every `$ref`, also those that no answer may ever reach."""
    from jsonschema_specifications import REGISTRY
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resource = DRAFT202012.create_resource(schema)
    open_ends = [(resource, REGISTRY.resolver_with_root(resource))]
    while open_ends:
        part, resolver = open_ends.pop()
        named = part.contents if isinstance(part.contents, dict) else {}
        for key in ("$ref", "$dynamicRef"):
            try:
                resolver.lookup(named[key]) if key in named else None
            except Unresolvable as error:
                raise ValueError(
                    f"not a JSON Schema: {key} {named[key]!r} points to nothing in it, and nothing is fetched; put "
                    "what it means under `$defs`"
                ) from error
        open_ends += [(each, resolver.in_subresource(each)) for each in part.subresources()]
