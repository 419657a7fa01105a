"""The artifact store: whole or absent, and never other bytes than the digest says."""

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ft_assets.errors import BrokenEnvironment, Refused
from ft_assets.storage.artifacts import ArtifactStore, digest_folder
from ft_assets.storage.home import Home
from ft_assets_tests.storage.children import kill_after, start
from ft_assets_tests.storage.writers import fill


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "root"), tmp_path / "scratch")


@pytest.fixture(params=["memory", "file"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """A store behind fsspec, reached through the code that object stores take."""
    root = (
        f"memory://bucket-{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path / 'bucket'}"
    )
    return ArtifactStore(root, tmp_path / "scratch")


def write(store: ArtifactStore, body: bytes = b"body") -> str:
    return store.write("reports", lambda folder: fill(folder, body))


def test_digest_is_of_names_and_bytes_alone(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, names in ((one, ["a.txt", "b/c.txt"]), (other, ["b/c.txt", "a.txt"])):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"body of {name}")
    (other / "a.txt").chmod(0o600)
    (other / "empty").mkdir()
    assert digest_folder(one) == digest_folder(other)
    # Pinned: a digest is an identity for ever, so the recipe for making it must not change by accident.
    assert digest_folder(one) == "c911bcc679126312cecea4b164ba51b49eba7214af83eaee4a80517a61e3b121"


@pytest.mark.parametrize("move", ["name", "bytes", "border"])
def test_digest_tells_apart_what_differs(tmp_path: Path, move: str) -> None:
    files = {"a": "12", "b": "3"}
    changed = {
        "name": {"a": "12", "c": "3"},
        "bytes": {"a": "12", "b": "4"},
        "border": {"a": "1", "b": "23"},
    }[move]
    folders = []
    for number, content in enumerate((files, changed)):
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        for name, body in content.items():
            (folders[-1] / name).write_text(body)
    assert digest_folder(folders[0]) != digest_folder(folders[1])


def test_what_was_written_is_read_back(store: ArtifactStore) -> None:
    path = store.path("reports", write(store))
    assert (path / "0.txt").read_bytes() == (path / "more" / "7.txt").read_bytes() == b"body"


def test_same_content_is_written_once(store: ArtifactStore) -> None:
    first = store.path("reports", write(store))
    inode = (first / "0.txt").stat().st_ino
    assert write(store) == first.name
    assert (first / "0.txt").stat().st_ino == inode


def test_failing_fill_leaves_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    def half(folder: Path) -> None:
        fill(folder, b"half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        store.write("reports", half)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_missing_artifact_says_what_to_do(store: ArtifactStore) -> None:
    with pytest.raises(BrokenEnvironment, match=r"reports/abc is not in .*; materialize its asset again"):
        store.path("reports", "abc")


@pytest.mark.parametrize("damage", ["flip", "truncate", "add", "remove", "rename"])
def test_changed_artifact_is_refused(store: ArtifactStore, damage: str) -> None:
    digest = write(store)
    victim = store.path("reports", digest) / "3.txt"
    body = victim.read_bytes()
    changes = {
        "flip": lambda: victim.write_bytes(bytes([body[0] ^ 1]) + body[1:]),
        "truncate": lambda: victim.write_bytes(body[:-1]),
        "add": lambda: victim.with_name("extra.txt").touch(),
        "remove": victim.unlink,
        "rename": lambda: victim.rename(victim.with_name("9.txt")),
    }
    changes[damage]()
    with pytest.raises(Refused, match="no longer match its digest"):
        store.path("reports", digest)


def test_writers_of_the_same_content_at_once_agree(store: ArtifactStore, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: write(store, b"same" * 10_000), range(32)))
    (digest,) = digests
    store.path("reports", digest)
    assert not list((tmp_path / "root" / ".drafts").iterdir())


def test_killed_writer_leaves_whole_artifacts_or_none(home: Home) -> None:
    acknowledged: list[str] = []
    for lines in (1, 3, 2, 5, 4, 1):
        acknowledged += kill_after(start("artifacts", home.root), lines)
    present = {path.name for path in (Path(home.root) / "reports").iterdir()}
    assert set(acknowledged) <= present
    for digest in present:
        home.artifacts.path("reports", digest)


@pytest.mark.parametrize("writer", ["python", "pyarrow"])
def test_full_disk_says_so_and_leaves_nothing(store: ArtifactStore, tmp_path: Path, writer: str) -> None:
    def fill_the_disk(folder: Path) -> None:
        # The kernel's own device that is always full: the error is the real one.
        (folder / "rows.parquet").symlink_to("/dev/full")
        if writer == "python":
            (folder / "rows.parquet").write_bytes(b"0" * 10_000_000)
        else:
            pq.write_table(pa.table({"x": list(range(1_000_000))}), folder / "rows.parquet")

    with pytest.raises(BrokenEnvironment, match="no space left on the disk"):
        store.write("reports", fill_the_disk)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_other_disk_errors_are_not_called_a_full_disk(store: ArtifactStore) -> None:
    with pytest.raises(OSError) as raised:
        store.write("reports", lambda folder: (folder / ("n" * 300)).touch())
    assert raised.value.errno == errno.ENAMETOOLONG


def test_remote_artifact_comes_back_as_it_was(remote: ArtifactStore) -> None:
    digest = write(remote)
    assert remote.exists("reports", digest)
    for _ in range(2):  # downloaded, then from the copy
        path = remote.path("reports", digest)
        assert digest_folder(path) == digest
        assert (path / "more" / "7.txt").read_bytes() == b"body"


def test_remote_artifact_without_its_marker_is_absent_until_written_again(remote: ArtifactStore) -> None:
    digest = write(remote)
    filesystem, path = fsspec.core.url_to_fs(f"{remote.root}/reports/{digest}")
    # What a writer leaves that died while it uploaded: some files, and no marker.
    filesystem.rm(f"{path}/.complete")
    filesystem.rm(f"{path}/5.txt")
    assert not remote.exists("reports", digest)
    with pytest.raises(BrokenEnvironment):
        remote.path("reports", digest)
    assert write(remote) == digest
    assert digest_folder(remote.path("reports", digest)) == digest


def test_remote_artifact_that_was_changed_is_refused(remote: ArtifactStore) -> None:
    digest = write(remote)
    filesystem, path = fsspec.core.url_to_fs(f"{remote.root}/reports/{digest}/5.txt")
    filesystem.pipe_file(path, b"other")
    with pytest.raises(Refused):
        remote.path("reports", digest)


def test_remote_download_leaves_no_drafts(remote: ArtifactStore) -> None:
    remote.path("reports", write(remote))
    assert not list((remote.scratch / ".drafts").iterdir())


def test_removed_artifact_is_gone_and_can_be_written_again(store: ArtifactStore) -> None:
    digest, other = write(store), write(store, b"other")
    store.remove("reports", digest)
    store.remove("reports", digest)  # what is not there is no error
    assert not store.exists("reports", digest)
    assert not list((Path(store.root) / ".drafts").iterdir())
    assert store.path("reports", other).is_dir()
    assert write(store) == digest
    store.path("reports", digest)


def test_removed_remote_artifact_leaves_no_copy(remote: ArtifactStore) -> None:
    digest = write(remote)
    copy = remote.path("reports", digest)
    remote.remove("reports", digest)
    remote.remove("reports", digest)
    assert not remote.exists("reports", digest)
    assert not copy.exists()
    filesystem, path = fsspec.core.url_to_fs(f"{remote.root}/reports")
    assert not filesystem.exists(f"{path}/{digest}")
    assert write(remote) == digest
    remote.path("reports", digest)


def test_home_at_a_url_keeps_its_database_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_ASSETS_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.delenv("FT_ASSETS_DATABASE_URL", raising=False)
    home = Home(f"memory://home-{tmp_path.name}")
    digest = home.artifacts.write("reports", lambda folder: fill(folder, b"x"))
    assert home.artifacts.path("reports", digest).is_relative_to(tmp_path)
    assert home.database_url == f"sqlite:///{tmp_path / 'scratch' / 'ft_assets.db'}"
