"""Checkpoints that survive kill -9 at any moment: written aside, synced, renamed; verified when read.

A checkpoint's folder is named after its step and the digest of its files, so that half a checkpoint, or a
damaged one, is recognised and passed over for the one before.
"""

import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch  # noqa: TID253
from safetensors.torch import load_file, save_file

from ft_assets.storage.artifacts import digest_folder
from ft_assets.storage.sync import sync

_KEEP = 2
_DRAFT = ".draft-"


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: where they are kept, a subfolder for each identity.
        identity: digest of all that decides the training's result; those of another are never read.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.identity = identity
        self.folder = folder / identity[:16]
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Commit a checkpoint of `step`, then drop all but the last two."""
        draft = self.folder / f"{_DRAFT}{uuid.uuid4().hex}"
        draft.mkdir()
        try:
            self._write(draft, step, tensors, state)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)  # the disk may be full
            raise
        self._prune()

    def _write(self, draft: Path, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()}, draft / "state.safetensors"
        )
        (draft / "state.json").write_text(
            json.dumps({"identity": self.identity, "step": step, "state": state})
        )
        for path in [*draft.iterdir(), draft]:
            sync(path)
        target = self.folder / f"{step:08d}-{digest_folder(draft)}"
        if target.exists():
            shutil.rmtree(draft)
        else:
            draft.rename(target)
        sync(self.folder)

    def latest(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Tensors and state of the newest checkpoint that is whole, or None."""
        for path in self._newest_first():
            if digest_folder(path) != path.name.partition("-")[2]:
                continue
            content = json.loads((path / "state.json").read_text())
            if content["identity"] == self.identity:
                return load_file(path / "state.safetensors"), content["state"]
        return None

    def _newest_first(self) -> Iterator[Path]:
        finished = (path for path in self.folder.iterdir() if not path.name.startswith(_DRAFT))
        yield from sorted(finished, reverse=True)

    def _prune(self) -> None:
        for path in [*self._newest_first()][_KEEP:]:
            shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob(f"{_DRAFT}*"):  # left by a process that was killed
            shutil.rmtree(path, ignore_errors=True)
