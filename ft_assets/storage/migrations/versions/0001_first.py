"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False, comment="source | file | feedback"),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", "key"),
    )
    op.create_table(
        "candidates",
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("batches", sa.JSON(), nullable=False, comment="keys of the batches its dataset is made of"),
        sa.Column(
            "incumbent",
            sa.String(length=96),
            nullable=True,
            comment="address of the champion when it was opened",
        ),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("recipe_digest", sa.String(length=64), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", "key"),
    )
    op.create_table(
        "decisions",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("retrain", sa.Boolean(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column(
            "batches", sa.JSON(), nullable=False, comment="every batch key that the decision looked at"
        ),
        sa.Column("candidate", sa.String(length=64), nullable=True, comment="key of the candidate it opened"),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "interactions",
        sa.Column("inference_id", sa.String(length=40), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column(
            "address", sa.String(length=96), nullable=False, comment="the arm that answered, or `base`"
        ),
        sa.Column("rollout", sa.String(length=32), nullable=True),
        sa.Column("user", sa.String(length=64), nullable=True, comment="salted hash"),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("slice", sa.String(length=64), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("answer_tokens", sa.Integer(), nullable=False),
        sa.Column("latency_ms", sa.Float(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("inference_id"),
    )
    op.create_index("interactions_by_model", "interactions", ["model", "created_at"], unique=False)
    op.create_index("interactions_by_rollout", "interactions", ["rollout"], unique=False)
    op.create_table(
        "promotion_ledger",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column(
            "action",
            sa.String(length=16),
            nullable=False,
            comment="canary | step | hold | promote | rollback | abort",
        ),
        sa.Column("address", sa.String(length=96), nullable=False, comment="what the action is about"),
        sa.Column(
            "champion", sa.String(length=96), nullable=False, comment="champion after the action, or `base`"
        ),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        comment="append-only; triggers refuse changes",
    )
    op.create_table(
        "receipts",
        sa.Column("id", sa.String(length=64), nullable=False, comment="sha256 of the signed body"),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("candidate", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False, comment="pass | fail | inconclusive"),
        sa.Column("body", sa.Text(), nullable=False, comment="canonical JSON"),
        sa.Column("signature", sa.String(length=128), nullable=False, comment="ed25519 over body, hex"),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "records",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("asset", sa.String(length=64), nullable=False),
        sa.Column(
            "partition", sa.String(length=64), nullable=False, comment="empty for assets without partitions"
        ),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        comment="which artifact each asset partition holds; the latest row counts",
    )
    op.create_index("records_latest", "records", ["model", "asset", "partition", "seq"], unique=False)
    op.create_table(
        "split_ledger",
        sa.Column("ledger", sa.String(length=64), nullable=False),
        sa.Column("example", sa.String(length=32), nullable=False),
        sa.Column(
            "cluster", sa.String(length=32), nullable=False, comment="id of the cluster's earliest member"
        ),
        sa.Column(
            "side", sa.String(length=16), nullable=False, comment="train | validation | eval | quarantine"
        ),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ledger", "example"),
    )
    op.create_table(
        "feedback",
        sa.Column("idempotency_key", sa.String(length=128), nullable=False),
        sa.Column("inference_id", sa.String(length=40), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column(
            "kind",
            sa.String(length=16),
            nullable=False,
            comment="thumb | edit | comment | escalation | demonstration",
        ),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("author", sa.String(length=64), nullable=True, comment="salted hash"),
        sa.Column("batch", sa.String(length=64), nullable=True, comment="key of the batch that took it in"),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["inference_id"],
            ["interactions.inference_id"],
        ),
        sa.PrimaryKeyConstraint("idempotency_key"),
    )
    op.create_index("feedback_open", "feedback", ["model", "batch"], unique=False)
    op.create_table(
        "releases",
        sa.Column("address", sa.String(length=96), nullable=False, comment="model@digest12"),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("candidate", sa.String(length=64), nullable=False),
        sa.Column("adapter_digest", sa.String(length=64), nullable=False),
        sa.Column("base_digest", sa.String(length=64), nullable=False),
        sa.Column("receipt", sa.String(length=64), nullable=False),
        sa.Column("lineage", sa.JSON(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["receipt"],
            ["receipts.id"],
        ),
        sa.PrimaryKeyConstraint("address"),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("candidate", sa.String(length=64), nullable=False),
        sa.Column("challenger", sa.String(length=96), nullable=False),
        sa.Column(
            "control", sa.String(length=96), nullable=False, comment="address of the champion, or `base`"
        ),
        sa.Column("salt", sa.String(length=32), nullable=False),
        sa.Column(
            "state",
            sa.String(length=16),
            nullable=False,
            comment="running | held | promoted | rolled_back | aborted",
        ),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False, comment="the challenger's share of traffic"),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=True, comment="the latest look at the evidence"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["challenger"],
            ["releases.address"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    _make_append_only("promotion_ledger")


def _make_append_only(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {table}_refuse()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
    # INSERT OR REPLACE deletes the old row without firing its delete trigger.
    op.execute(
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE seq = NEW.seq) "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )
