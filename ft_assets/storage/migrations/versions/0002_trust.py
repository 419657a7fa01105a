"""Retention of raw batches, and eval rows that are retired because something trained on them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("batches", sa.Column("rows_deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "retired_rows",
        sa.Column("ledger", sa.String(length=64), nullable=False),
        sa.Column("example", sa.String(length=32), nullable=False),
        sa.Column("trained_row", sa.String(length=32), nullable=False),
        sa.Column(
            "trained_by",
            sa.String(length=96),
            nullable=False,
            comment="key of a candidate, or base:NAME",
        ),
        sa.Column(
            "kind",
            sa.String(length=16),
            nullable=False,
            comment="exact | near | edit | ngram | answer | meaning",
        ),
        sa.Column("similarity", sa.Float(), nullable=False),
        sa.Column(
            "found_by", sa.String(length=96), nullable=False, comment="candidate whose search found it"
        ),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ledger", "example"),
    )
    op.create_table(
        "verdict_marks",
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("candidate", sa.String(length=64), nullable=False),
        sa.Column("example", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", "candidate", "example"),
    )
