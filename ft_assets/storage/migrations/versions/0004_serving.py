"""API keys, and answers that only a rollout sees."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False, comment="sha256 of the key, hex"),
        sa.Column("scopes", sa.JSON(), nullable=False, comment="some of infer, feedback, admin"),
        sa.Column("per_minute", sa.Integer(), nullable=True, comment="requests; null: no limit"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.add_column(
        "interactions",
        sa.Column(
            "shadow",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="a challenger's answer that no user saw",
        ),
    )
    op.add_column(
        "interactions",
        sa.Column(
            "pair", sa.String(length=40), nullable=True, comment="of a shadow: the answer that was seen"
        ),
    )
    op.add_column(
        "interactions", sa.Column("api_key", sa.String(length=16), nullable=True, comment="id of who asked")
    )
