"""Datasets of the Hugging Face hub, and folders that `save_to_disk` wrote. No code of theirs is ever run."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.recipe_data import HuggingFaceSource
from ft_assets.sources.arrow_rows import BATCH, read_batches, wanted_columns
from ft_assets.sources.rejected import Rejected
from ft_assets.sources.row import Row
from ft_assets.sources.stored_file import StoredFile

if TYPE_CHECKING:
    from datasets import Dataset

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def read_huggingface(source: HuggingFaceSource, fields: Collection[str]) -> Iterator[Row | Rejected]:
    """One Row or Rejected for every row, read from Arrow files on disk, a batch at a time.

    Args:
        fields: names of the columns that somebody reads.

    Raises:
        WrongInput: there is no such dataset, configuration, revision or split, or its files are damaged.
        BrokenEnvironment: the hub cannot be reached, or `datasets` is not installed.
    """
    dataset = _open(source)
    dataset = dataset.select_columns(wanted_columns(dataset.column_names, fields)).with_format("arrow")
    try:
        yield from read_batches(dataset.iter(BATCH), dataset_name(source))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise WrongInput(
            f"{source.dataset}: its files are damaged ({error}); save or load it again"
        ) from error


def dataset_name(source: HuggingFaceSource) -> str:
    """The hub id, or the last part of a folder's path."""
    return PurePosixPath(source.dataset).name if _is_folder(source) else source.dataset


def dataset_stamp(source: HuggingFaceSource) -> str | None:
    """Changes when the dataset does; None where only the hub could tell."""
    if not _is_folder(source):
        return source.revision if _COMMIT.fullmatch(source.revision) else None
    return StoredFile(source.dataset).stamp()


def _is_folder(source: HuggingFaceSource) -> bool:
    return not _HUB_ID.fullmatch(source.dataset) or Path(source.dataset).is_dir()


def _open(source: HuggingFaceSource) -> "Dataset":
    try:
        import datasets
    except ImportError as error:
        raise BrokenEnvironment(
            "reading Hugging Face datasets needs the package `datasets`; install `ft-assets[hub]`"
        ) from error
    try:
        if not _is_folder(source):
            return datasets.load_dataset(
                source.dataset, source.config, split=source.split, revision=source.revision
            )
        loaded = datasets.load_from_disk(source.dataset)
        return loaded[source.split] if isinstance(loaded, datasets.DatasetDict) else loaded
    except (ConnectionError, TimeoutError) as error:
        raise BrokenEnvironment(f"{source.dataset}: the hub cannot be reached: {error}") from error
    except KeyError as error:
        raise WrongInput(f"{source.dataset}: there is no split {error}; correct `split`") from error
    except Exception as error:  # the library's own, Arrow's, and those of each store
        raise WrongInput(
            f"{source.dataset}: {error}; name a folder that `save_to_disk` wrote, or a hub id, and a split of it"
        ) from error
