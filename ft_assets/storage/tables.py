"""The operational database's tables. `migrations/` holds how each came to be; a test keeps the two equal."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite would otherwise give it back without its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value


metadata = MetaData()

records = Table(
    "records",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("model", String(64), nullable=False),
    Column("asset", String(64), nullable=False),
    Column("partition", String(64), nullable=False, comment="empty for assets without partitions"),
    Column("kind", String(16), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("run_id", String(64)),
    Column("recorded_at", UtcDateTime, nullable=False),
    Index("records_latest", "model", "asset", "partition", "seq"),
    comment="which artifact each asset partition holds; the latest row counts",
)

batches = Table(
    "batches",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("origin", String(16), nullable=False, comment="source | file | feedback"),
    Column("rows", Integer, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("rows_deleted_at", UtcDateTime, comment="when the retention time deleted the raw rows"),
)

candidates = Table(
    "candidates",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("batches", JSON, nullable=False, comment="keys of the batches its dataset is made of"),
    Column("incumbent", String(96), comment="address of the champion when it was opened"),
    Column("recipe", JSON, nullable=False),
    Column("recipe_digest", String(64), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("model", String(64), nullable=False),
    Column("retrain", Boolean, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("batches", JSON, nullable=False, comment="every batch key that the decision looked at"),
    Column("candidate", String(64), comment="key of the candidate it opened"),
    Column("decided_at", UtcDateTime, nullable=False),
)

split_ledger = Table(
    "split_ledger",
    metadata,
    Column("ledger", String(64), primary_key=True),
    Column("example", String(32), primary_key=True),
    Column("cluster", String(32), nullable=False, comment="id of the cluster's earliest member"),
    Column("side", String(16), nullable=False, comment="train | validation | eval | quarantine"),
    Column("assigned_at", UtcDateTime, nullable=False),
)

retired_rows = Table(
    "retired_rows",
    metadata,
    Column("ledger", String(64), primary_key=True),
    Column("example", String(32), primary_key=True),
    Column("trained_row", String(32), nullable=False),
    Column("trained_by", String(96), nullable=False, comment="key of a candidate, or base:NAME"),
    Column("kind", String(16), nullable=False, comment="exact | near | edit | ngram | answer | meaning"),
    Column("similarity", Float, nullable=False),
    Column("found_by", String(96), nullable=False, comment="candidate whose search found it"),
    Column("retired_at", UtcDateTime, nullable=False),
    comment="eval rows that something trained on: they judge nothing any more",
)

verdict_marks = Table(
    "verdict_marks",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("candidate", String(64), primary_key=True),
    Column("example", String(32), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("marked_at", UtcDateTime, nullable=False),
    comment="verdicts that were reached with a row found dirty later",
)

receipts = Table(
    "receipts",
    metadata,
    Column("id", String(64), primary_key=True, comment="sha256 of the signed body"),
    Column("model", String(64), nullable=False),
    Column("candidate", String(64), nullable=False),
    Column("verdict", String(16), nullable=False, comment="pass | fail | inconclusive"),
    Column("body", Text, nullable=False, comment="canonical JSON"),
    Column("signature", String(128), nullable=False, comment="ed25519 over body, hex"),
    Column("issued_at", UtcDateTime, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("address", String(96), primary_key=True, comment="model@digest12"),
    Column("model", String(64), nullable=False),
    Column("candidate", String(64), nullable=False),
    Column("adapter_digest", String(64), nullable=False),
    Column("base_digest", String(64), nullable=False),
    Column("receipt", String(64), ForeignKey("receipts.id"), nullable=False),
    Column("lineage", JSON, nullable=False),
    Column("released_at", UtcDateTime, nullable=False),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("candidate", String(64), nullable=False),
    Column("challenger", String(96), ForeignKey("releases.address"), nullable=False),
    Column("control", String(96), nullable=False, comment="address of the champion, or `base`"),
    Column("salt", String(32), nullable=False),
    Column("state", String(16), nullable=False, comment="running | held | promoted | rolled_back | aborted"),
    Column("step", Integer, nullable=False),
    Column("weight", Float, nullable=False, comment="the challenger's share of traffic"),
    Column("plan", JSON, nullable=False),
    Column("verdict", JSON, comment="the latest look at the evidence"),
    Column("started_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

promotion_ledger = Table(
    "promotion_ledger",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("model", String(64), nullable=False),
    Column("action", String(16), nullable=False, comment="canary | step | hold | promote | rollback | abort"),
    Column("address", String(96), nullable=False, comment="what the action is about"),
    Column("champion", String(96), nullable=False, comment="champion after the action, or `base`"),
    Column("by", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    comment="append-only; triggers refuse changes",
)

interactions = Table(
    "interactions",
    metadata,
    Column("inference_id", String(40), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("address", String(96), nullable=False, comment="the arm that answered, or `base`"),
    Column("rollout", String(32)),
    Column("user", String(64), comment="salted hash"),
    Column("messages", JSON, nullable=False),
    Column("answer", Text, nullable=False),
    Column("slice", String(64), nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("answer_tokens", Integer, nullable=False),
    Column("latency_ms", Float, nullable=False),
    Column("error", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column(
        "shadow",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="a challenger's answer that no user saw",
    ),
    Column("pair", String(40), comment="of a shadow: the answer that was seen"),
    Column("api_key", String(16), comment="id of who asked"),
    Column(
        "cancelled",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="the client left before the answer's end",
    ),
    Index("interactions_by_model", "model", "created_at"),
    Index("interactions_by_rollout", "rollout"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("idempotency_key", String(128), primary_key=True),
    Column("inference_id", String(40), ForeignKey("interactions.inference_id"), nullable=False),
    Column("model", String(64), nullable=False),
    Column("kind", String(16), nullable=False, comment="thumb | edit | comment | escalation | demonstration"),
    Column("value", JSON, nullable=False),
    Column("author", String(64), comment="salted hash"),
    Column("batch", String(64), comment="key of the batch that took it in"),
    Column("received_at", UtcDateTime, nullable=False),
    Index("feedback_open", "model", "batch"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("digest", String(64), nullable=False, comment="sha256 of the key, hex"),
    Column("scopes", JSON, nullable=False, comment="some of infer, feedback, admin"),
    Column("per_minute", Integer, comment="requests; null: no limit"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
)

costs = Table(
    "costs",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("attempt", String(32), nullable=False, unique=True, comment="one run of a stage's child process"),
    Column("model", String(64), nullable=False),
    Column("candidate", String(64), nullable=False),
    Column("stage", String(16), nullable=False, comment="search | training | alignment | evaluation"),
    Column("run_id", String(64)),
    Column("device", String(8), nullable=False, comment="cpu | cuda, or empty: not told"),
    Column("devices", Integer, nullable=False),
    Column("device_seconds", Float, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("watt_hours", Float),
    Column("money", Float),
    Column("currency", String(3)),
    Column("recorded_at", UtcDateTime, nullable=False),
    Index("costs_by_candidate", "model", "candidate"),
    comment="append-only; triggers refuse changes",
)
