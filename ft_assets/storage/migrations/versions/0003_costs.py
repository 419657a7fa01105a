"""What every training, search, alignment and evaluation cost."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "costs",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column(
            "attempt", sa.String(length=32), nullable=False, comment="one run of a stage's child process"
        ),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("candidate", sa.String(length=64), nullable=False),
        sa.Column(
            "stage",
            sa.String(length=16),
            nullable=False,
            comment="search | training | alignment | evaluation",
        ),
        sa.Column("run_id", sa.String(length=64), nullable=True),
        sa.Column("device", sa.String(length=8), nullable=False, comment="cpu | cuda, or empty: not told"),
        sa.Column("devices", sa.Integer(), nullable=False),
        sa.Column("device_seconds", sa.Float(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("watt_hours", sa.Float(), nullable=True),
        sa.Column("money", sa.Float(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("attempt"),
        comment="append-only; triggers refuse changes",
    )
    op.create_index("costs_by_candidate", "costs", ["model", "candidate"], unique=False)
    _make_append_only("costs")


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
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE seq = NEW.seq OR attempt = NEW.attempt) "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )
