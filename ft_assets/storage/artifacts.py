"""Content-addressed folders: written once, whole, and never rewritten.

A local store commits by renaming a finished folder into place. An object store has no rename, so a
folder there counts as present only once its `.complete` marker, uploaded last, exists.
"""

import errno
import hashlib
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import fsspec

from ft_assets.errors import BrokenEnvironment, Refused
from ft_assets.storage.sync import sync

Kind = Literal["bases", "batches", "datasets", "studies", "adapters", "reports"]
_MARKER = ".complete"


def digest_folder(folder: Path) -> str:
    """Sha256 over the sorted (relative name, bytes) of every file under `folder`, as 64 hex digits."""
    digest = hashlib.sha256()
    for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()):
        size = (folder / name).stat().st_size
        digest.update(f"{len(name.encode())}:{name}{size}:".encode())
        with (folder / name).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


class ArtifactStore:
    """Artifacts under one root: `<root>/<kind>/<digest>/…`.

    Args:
        root: a local path or any fsspec URL (`s3://bucket/prefix`).
        scratch: local folder for unfinished artifacts and copies of remote ones.
    """

    def __init__(self, root: str, scratch: Path) -> None:
        self.root = root
        self.scratch = scratch
        self._local = Path(root) if "://" not in root else None

    def write(self, kind: Kind, fill: Callable[[Path], object]) -> str:
        """Let `fill` write files into an empty folder, commit the folder, and return its digest.

        Raises:
            BrokenEnvironment: the disk is full; nothing half-written is left behind.
        """
        draft = self._drafts() / uuid.uuid4().hex
        draft.mkdir(parents=True)
        try:
            fill(draft)
            return self.adopt(kind, draft)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise BrokenEnvironment(
                    f"no space left on the disk of {draft}; free some and run the same command again"
                ) from error
            raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def adopt(self, kind: Kind, folder: Path) -> str:
        """Commit a finished local folder (moved when on the same disk) and return its digest."""
        digest = digest_folder(folder)
        if not self.exists(kind, digest):
            if self._local is not None:
                _commit_local(folder, self._local / kind / digest)
            else:
                self._upload(folder, f"{self.root}/{kind}/{digest}")
        return digest

    def exists(self, kind: Kind, digest: str) -> bool:
        """Whether the whole artifact is there."""
        if self._local is not None:
            return (self._local / kind / digest).is_dir()
        filesystem, path = fsspec.core.url_to_fs(f"{self.root}/{kind}/{digest}/{_MARKER}")
        return bool(filesystem.exists(path))

    def path(self, kind: Kind, digest: str) -> Path:
        """Local folder of an artifact, its bytes checked against its digest.

        Raises:
            BrokenEnvironment: it is missing.
            Refused: its bytes are not what its digest says.
        """
        if not self.exists(kind, digest):
            raise BrokenEnvironment(
                f"artifact {kind}/{digest} is not in {self.root}; materialize its asset again"
            )
        folder = self._local / kind / digest if self._local is not None else self._download(kind, digest)
        if digest_folder(folder) != digest:
            raise Refused(
                f"artifact {folder} was changed after it was written: its bytes no longer match its digest"
            )
        return folder

    def remove(self, kind: Kind, digest: str) -> None:
        """Delete an artifact, and this machine's copy of it. What is not there is no error."""
        if self._local is not None:
            _remove_local(self._local / kind / digest, self._drafts())
            return
        filesystem, path = fsspec.core.url_to_fs(f"{self.root}/{kind}/{digest}")
        for name in (f"{path}/{_MARKER}", path):  # the marker first: half a folder must not count as one
            if filesystem.exists(name):
                filesystem.rm(name, recursive=True)
        _remove_local(self.scratch / "copies" / kind / digest, self._drafts())

    def _drafts(self) -> Path:
        # Beside the artifacts, so that the commit is a rename within one file system.
        return (self._local or self.scratch) / ".drafts"

    def _upload(self, folder: Path, url: str) -> None:
        filesystem, path = fsspec.core.url_to_fs(url)
        for file in sorted(item for item in folder.rglob("*") if item.is_file()):
            target = f"{path}/{file.relative_to(folder).as_posix()}"
            filesystem.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            filesystem.put_file(str(file), target)
        filesystem.pipe_file(f"{path}/{_MARKER}", b"")

    def _download(self, kind: Kind, digest: str) -> Path:
        copy = self.scratch / "copies" / kind / digest
        if copy.is_dir():
            return copy
        filesystem, path = fsspec.core.url_to_fs(f"{self.root}/{kind}/{digest}")
        draft = self._drafts() / uuid.uuid4().hex
        filesystem.get(f"{path}/", f"{draft}/", recursive=True)
        (draft / _MARKER).unlink()
        _commit_local(draft, copy)
        return copy


def _commit_local(folder: Path, target: Path) -> None:
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno == errno.EXDEV:
            near = target.parent / f".{uuid.uuid4().hex}"
            shutil.copytree(folder, near)
            _commit_local(near, target)
        elif error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # someone else committed the same bytes
            raise
    sync(target.parent)


def _remove_local(folder: Path, drafts: Path) -> None:
    drafts.mkdir(parents=True, exist_ok=True)
    doomed = drafts / uuid.uuid4().hex
    try:
        folder.rename(doomed)  # in one step, so that nobody sees half of it
    except FileNotFoundError:
        return
    shutil.rmtree(doomed)
