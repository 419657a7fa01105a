"""An answer that its user stopped is no failure: a state of its own, and no text in `error`."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_CLIENT_LEFT = "the client closed the connection"
"""What `error` said of such an answer until now."""


def upgrade() -> None:
    column = sa.Column(
        "cancelled",
        sa.Boolean(),
        server_default=sa.false(),
        nullable=False,
        comment="the client left before the answer's end",
    )
    op.add_column("interactions", column)
    rows = sa.table("interactions", sa.column("cancelled", sa.Boolean), sa.column("error", sa.Text))
    op.execute(sa.update(rows).where(rows.c.error == _CLIENT_LEFT).values(cancelled=sa.true(), error=None))
