"""Which artifact each asset partition holds: the hand-over between one asset and the next."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from ft_assets.errors import Refused
from ft_assets.storage.artifacts import Kind
from ft_assets.storage.home import Home
from ft_assets.storage.tables import records


@dataclass(frozen=True)
class Record:
    """One artifact of one asset partition. `partition` is empty for assets without partitions."""

    model: str
    asset: str
    partition: str
    kind: Kind
    digest: str


def write_record(home: Home, record: Record, run_id: str | None = None) -> None:
    """Say that an asset partition now holds an artifact. Earlier rows stay."""
    row = {**vars(record), "run_id": run_id, "recorded_at": datetime.now(UTC)}
    with home.database.write() as connection:
        connection.execute(sa.insert(records).values(row))


def find_record(home: Home, model: str, asset: str, partition: str = "") -> Record | None:
    """The latest artifact of an asset partition, or None."""
    latest = (
        sa.select(*(records.c[name] for name in ("model", "asset", "partition", "kind", "digest")))
        .where(records.c.model == model, records.c.asset == asset, records.c.partition == partition)
        .order_by(records.c.seq.desc())
        .limit(1)
    )
    row = home.database.row(latest)
    return Record(**row) if row else None


def artifact_of(home: Home, model: str, asset: str, partition: str = "") -> tuple[str, Path]:
    """Digest and verified local folder of an asset partition's latest artifact.

    Raises:
        Refused: the asset was never materialized for this partition, or its bytes were changed.
    """
    record = find_record(home, model, asset, partition)
    if record is None:
        where = f" for {partition}" if partition else ""
        raise Refused(f"{model}/{asset} was never materialized{where}; materialize it first")
    return record.digest, home.artifacts.path(record.kind, record.digest)
