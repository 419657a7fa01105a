"""`ft-assets curate`: files in, and out come rows worth training on, the rejected ones, a card and a split.

The same code as the assets run, for data that is not a model's yet. Nothing is written into the installation's state:
the split is the one that an empty ledger would deal, with the key of this installation.
"""

import os
import resource
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ft_assets.curation.card import card
from ft_assets.curation.curate import curate
from ft_assets.curation.summary import Summary
from ft_assets.curation.tokens import Tokenizer, tokenizer_of
from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.recipe import load_recipe, read_recipe
from ft_assets.recipe_data import Curation, FileSource, RowFormat, Splitting
from ft_assets.sources.batch_files import BatchFiles
from ft_assets.sources.example import Example
from ft_assets.sources.readers import read_source
from ft_assets.sources.reading import Reading
from ft_assets.sources.rejected import Rejected
from ft_assets.splitting.dataset import DATASET_SCHEMA
from ft_assets.splitting.ledger import plan
from ft_assets.splitting.sides import SIDES
from ft_assets.storage.home import Home
from ft_assets.storage.pseudonyms import Pseudonyms

_SIDES = ("train", "validation", "eval")


@dataclass(frozen=True)
class Outcome:
    """What the command did.

    Attributes:
        shapes: rows of each shape, by file.
        clusters: clusters of near-duplicates among the kept rows.
        sides: kept rows on each side.
        refused: whether more was rejected than the recipe allows.
        seconds, peak_mb: time taken by the clock, and the most memory that the process held.
    """

    summary: Summary
    shapes: dict[str, dict[str, int]]
    clusters: int
    sides: dict[str, int]
    refused: bool
    seconds: float
    peak_mb: float

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        splits = {side: self.sides[side] for side in SIDES if side in _SIDES or self.sides[side]}
        return {
            "rows_in": self.summary.rows_in,
            "curated": self.summary.curated,
            "rejected": self.summary.rejected,
            "clusters": self.clusters,
            "splits": splits,
            "pii": self.summary.pii,
            "seconds": round(self.seconds, 3),
            "peak_mb": round(self.peak_mb, 1),
        }


def curate_files(
    home: Home,
    files: Sequence[str],
    out: Path,
    recipe: str | None,
    format: Literal["auto"] | RowFormat,
    license: str,
) -> Outcome:
    """Curate files into a new folder: `curated.parquet`, a file for each side, `rejected.parquet` and `card.md`.

    Args:
        files: paths or fsspec URLs of JSONL, JSON, Parquet or CSV files.
        recipe: name of a model, or path of a YAML file with a recipe; None: default settings.
        license: SPDX id of rows that name none.

    Raises:
        WrongInput: a file cannot be read at all, or `out` exists; nothing is left behind.
        BrokenEnvironment: `out` cannot be written.
    """
    started = time.perf_counter()
    if out.exists():
        raise WrongInput(f"{out} exists; name a folder that does not, or remove it first")
    curation, splitting, tokenizer = _settings(home, recipe)
    readings = {
        file: read_source(FileSource(kind="file", path=file, format=format, license=license))
        for file in files
    }
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        for part in (draft / "raw", draft / "made"):
            part.mkdir(parents=True)
        BatchFiles(Pseudonyms(home.key("users"))).write(_rows(readings), draft / "raw")
        summary = curate(draft / "raw", draft / "made", "", curation, (), tokenizer)
        split = plan(pq.read_table(draft / "made" / "rows.parquet"), splitting, home.key("split-ledger"))
        sides = Counter(split["side"].to_pylist())
        _write(draft, split.cast(DATASET_SCHEMA), summary, sides)
        draft.rename(out)
    except OSError as error:
        raise BrokenEnvironment(
            f"{out} cannot be written ({error.strerror or error}); name a writable folder on a disk with space"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Outcome(
        summary=summary,
        shapes={file: dict(reading.shapes) for file, reading in readings.items()},
        clusters=len(set(split["cluster"].to_pylist())),
        sides={side: sides[side] for side in SIDES},
        refused=not summary.curated or summary.reject_share > curation.max_reject_share,
        seconds=time.perf_counter() - started,
        peak_mb=_peak_mb(),
    )


def _settings(home: Home, recipe: str | None) -> tuple[Curation, Splitting, Tokenizer | None]:
    if recipe is None:
        return Curation(), Splitting(), None
    found = read_recipe(Path(recipe)) if Path(recipe).suffix in (".yaml", ".yml") else load_recipe(recipe)
    return found.curation, found.splitting, tokenizer_of(home, found)


def _rows(readings: dict[str, Reading]) -> Iterator[Example | Rejected]:
    return chain.from_iterable(readings.values())


def _write(draft: Path, split: pa.Table, summary: Summary, sides: Counter[str]) -> None:
    made = draft / "made"
    pq.write_table(split, draft / "curated.parquet")
    for side in _SIDES:
        pq.write_table(split.filter(pc.field("side") == side), draft / f"{side}.parquet")
    (made / "rejected.parquet").rename(draft / "rejected.parquet")
    (draft / "card.md").write_text(card(summary, {side: sides[side] for side in SIDES}))
    for part in (draft / "raw", made):
        shutil.rmtree(part)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
