"""The recipe's data sections: where rows come from, what a row must be, and how rows are split."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
"""A share of a whole, from 0 to 1."""


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
"""A Python regular expression that an answer must match in full."""


class Settings(BaseModel):
    """Base of every section: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


RowFormat = Literal["messages", "alpaca", "sharegpt", "prompt_completion", "preference", "kto"]
"""The shapes of a row that the field uses."""


class DocstringSource(Settings):
    """Functions and the first line of their docstrings, read from importable Python packages."""

    kind: Literal["python_docstrings"]
    packages: list[str] = Field(min_length=1, description="Top-level importable names; each becomes a slice.")
    max_rows: int = Field(default=500, ge=1, description="Rows taken, spread evenly over the packages.")
    license: str = Field(default="PSF-2.0", description="SPDX id of the licence that these rows come under.")


class RowSource(Settings):
    """What every source of rows says about them. A row that says `slice`, `license` or `consent` itself is believed."""

    format: Literal["auto"] | RowFormat = Field(
        default="auto",
        description="Shape of the rows. `auto`: each row is read by the fields that it has. Any other: rows of "
        "another shape are rejected.",
    )
    slice: str = Field(default="default", description="Slice of rows that name none themselves.")
    license: str = Field(
        description="SPDX id of the licence that rows come under which name none themselves."
    )
    consent: str | None = Field(
        default=None,
        description="What people agreed to who are in the rows, in your own words (`terms-2026`).",
    )
    group_field: str | None = Field(
        default=None,
        description="Field of a row that says what it belongs to, such as a customer or a conversation. Kept as a "
        "salted hash, for `splitting.strategy: column`.",
    )


class FileSource(RowSource):
    """A file of rows: JSONL, Parquet or CSV, plain or compressed (`.gz`, `.zst`, …)."""

    kind: Literal["file"]
    path: str = Field(description="A path or any fsspec URL.")
    type: Literal["auto", "jsonl", "parquet", "csv"] = Field(
        default="auto", description="`auto`: by the file's name, else by its first bytes."
    )


class HuggingFaceSource(RowSource):
    """A dataset of the Hugging Face hub, or a folder that `Dataset.save_to_disk` wrote."""

    kind: Literal["huggingface"]
    dataset: str = Field(description="Hub id (`owner/name`) or path of a saved folder.")
    config: str | None = Field(default=None, description="Configuration of a hub dataset that has several.")
    split: str = Field(default="train", description="Split to read.")
    revision: str = Field(default="main", description="Hub revision: a commit hash pins the bytes.")


class SqlSource(RowSource):
    """The rows of a DuckDB query, such as `SELECT question AS prompt, answer AS completion FROM 'tickets.parquet'`."""

    kind: Literal["sql"]
    query: str = Field(
        description="One SELECT; its columns are the fields of a row. Order it, so that it repeats."
    )
    database: str | None = Field(
        default=None,
        description="DuckDB file, opened read-only. Null: in memory, over files that the query names.",
    )


Source = Annotated[DocstringSource | FileSource | HuggingFaceSource | SqlSource, Field(discriminator="kind")]


class Curation(Settings):
    """What a row must be to be trained on. Every rejected row keeps its reason."""

    min_answer_chars: int = Field(
        default=10, ge=1, description="Shorter answers are rejected (`answer_too_short`)."
    )
    max_answer_chars: int = Field(
        default=2_000, ge=1, description="Longer answers are rejected (`answer_too_long`)."
    )
    max_prompt_chars: int = Field(
        default=4_000, ge=1, description="Longer prompts are rejected (`prompt_too_long`)."
    )
    max_tokens: int | None = Field(
        default=None,
        ge=16,
        description="Longest row in tokens of the base's tokenizer, chat template included (`too_many_tokens`). "
        "Null: only `training.max_tokens` counts.",
    )
    overlong: Literal["reject", "window"] = Field(
        default="reject",
        description="Rows over `max_tokens`: `reject`, or `window`: drop the oldest exchanges after the system turns "
        "until the row fits.",
    )
    answer_format: Pattern | None = Field(
        default=None, description="Regular expression; answers that it does not match in full are rejected."
    )
    languages: list[str] | None = Field(
        default=None,
        description="ISO 639-1 codes of the languages that an answer may be in (`wrong_language`). Null: any.",
    )
    max_repetition: Fraction = Field(
        default=0.3,
        description="Largest share of an answer's words that lie in repeated word 5-grams (`repetitive`).",
    )
    reject_refusals: bool = Field(
        default=True, description="Reject answers that only refuse or talk about being an AI (`refusal`)."
    )
    contradictions: Literal["newest", "oldest", "reject", "keep"] = Field(
        default="newest",
        description="Of rows with the same prompt and different answers: the newest stays (a correction before any "
        "other), the oldest stays, none stays, or all stay (`contradiction`).",
    )
    near_duplicate_jaccard: Fraction = Field(
        default=0.8,
        description="Rows are near-duplicates when prompts and answers each share this much of their word 3-grams. "
        "A row of an earlier batch stays before one of a later; within a batch a correction, then the earliest.",
    )
    semantic_similarity: Fraction | None = Field(
        default=None,
        description="Cosine similarity of prompts, and of answers, from which rows are duplicates although their words "
        "differ (`semantic_duplicate`; 0.95 is a start). Null: not asked.",
    )
    redact_pii: bool = Field(
        default=True,
        description="Replace personal data and secrets by typed placeholders such as `<EMAIL_1>`.",
    )
    names_model: str | None = Field(
        default=None,
        description="Folder or hub id of a token classification model that finds names of people (safetensors only). "
        "Null: names stay.",
    )
    allowed_licenses: list[str] | None = Field(
        default=None, description="SPDX ids that may be trained on (`license_not_allowed`). Null: all."
    )
    allowed_consents: list[str] | None = Field(
        default=None, description="Values of `consent` that may be trained on (`consent_missing`). Null: all."
    )
    max_reject_share: Fraction = Field(
        default=0.9, description="A batch of which a larger share is rejected fails its check."
    )
    raw_retention_days: int | None = Field(
        default=30,
        ge=1,
        description="Days after which a raw batch's rows, which may hold personal data, are deleted. Null: never.",
    )


class Splitting(Settings):
    """How clusters of near-duplicates are dealt to train, validation and eval, for ever."""

    strategy: Literal["hash", "time", "column"] = Field(
        default="hash",
        description="`hash`: a keyed hash of the cluster decides. `time`: the latest clusters are eval. `column`: as "
        "`hash`, and rows with one value of their source's `group_field` stay together.",
    )
    ledger: str = Field(
        default="default", description="Models that name the same ledger share its assignments."
    )
    validation: Fraction = Field(
        default=0.1, description="Share of clusters, in every slice, for validation loss and early stopping."
    )
    eval: Fraction = Field(
        default=0.2, description="Share of clusters, in every slice, held out for the gate."
    )
    cluster_jaccard: Fraction = Field(
        default=0.5, description="Rows that overlap at least this much are one cluster and land on one side."
    )

    @model_validator(mode="after")
    def _leave_rows_to_train(self) -> "Splitting":
        if self.validation + self.eval >= 0.9:
            raise ValueError("validation + eval must stay below 0.9, else nothing is left to train on")
        return self
