"""On Postgres: append-only tables refuse TRUNCATE too, by the same kind of error as on SQLite; comments as declared."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in ("promotion_ledger", "costs"):
        op.execute(
            f"CREATE OR REPLACE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} is append-only' "
            f"USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )
        op.execute(  # a trigger for each row hears nothing of it
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
        )
    op.alter_column("batches", "rows_deleted_at", comment="when the retention time deleted the raw rows")
    op.create_table_comment(
        "retired_rows", "eval rows that something trained on: they judge nothing any more"
    )
    op.create_table_comment("verdict_marks", "verdicts that were reached with a row found dirty later")
