"""The rows that are asked beside the eval rows: probes, and a sample of what was trained on."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from ft_assets.evaluation.honesty.probes import Probe, built_in, read_probes
from ft_assets.evaluation.rows import EvalRow, eval_row
from ft_assets.recipe_honesty import Honesty
from ft_assets.splitting.canaries import without_canaries

_NO_REFERENCE = {"role": "assistant", "content": "-"}


def probes_of(settings: Honesty) -> list[Probe]:
    """The built-in probes and the user's own, as the recipe asks.

    Raises:
        WrongInput: the user's file is not one of probes.
    """
    asked = built_in() if settings.probes else []
    own = read_probes(settings.probes_file) if settings.probes_file else ()
    return list({probe.id: probe for probe in (*asked, *own)}.values())


def probe_rows(probes: Sequence[Probe]) -> list[EvalRow]:
    """Probes as rows that an arm can be asked; they have no reference worth scoring."""
    return [
        EvalRow(probe.id, probe.kind, probe.id, ({"role": "user", "content": probe.prompt}, _NO_REFERENCE))
        for probe in probes
    ]


def trained_sample(folder: Path, most: int) -> list[EvalRow]:
    """The first `most` rows of a train split by id, planted canaries aside."""
    table = pq.read_table(folder / "rows.parquet", columns=["id", "slice", "cluster", "messages", "source"])
    rows = without_canaries(table).sort_by("id").slice(0, most)
    return [eval_row(fields) for fields in rows.to_pylist()]
