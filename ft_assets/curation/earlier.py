"""What a batch is compared with: the signatures of every batch that was opened before it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ft_assets.curation.curate import curate
from ft_assets.curation.tokens import Tokenizer
from ft_assets.recipe import Recipe
from ft_assets.sources.batches import list_batches
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of, find_record


@contextmanager
def earlier_signatures(
    home: Home, recipe: Recipe, key: str, tokenizer: Tokenizer | None
) -> Iterator[list[Path]]:
    """Signature files of the batches opened before `key`, oldest first; they may be gone afterwards.

    A batch that was opened before but is not curated yet is curated for this in a temporary folder, from its
    stored bytes. So the result is the same in whatever order the batches' runs finish, and copies between two batches
    that are curated at the same time are found. One whose raw rows the retention time has deleted never will be
    curated, and is passed over.
    """
    files: list[Path] = []
    with tempfile.TemporaryDirectory(dir=home.scratch) as scratch:
        for batch in list_batches(home, recipe.model):
            if batch["key"] == key:
                break
            if find_record(home, recipe.model, "curated_batch", batch["key"]):
                _, folder = artifact_of(home, recipe.model, "curated_batch", batch["key"])
            elif batch["rows_deleted_at"] is None:
                folder = Path(scratch) / batch["key"]
                folder.mkdir()
                raw = home.artifacts.path("batches", batch["digest"])
                curate(raw, folder, batch["key"], recipe.curation, files, tokenizer)
            else:
                continue
            files.append(folder / "signatures.parquet")
        yield files
