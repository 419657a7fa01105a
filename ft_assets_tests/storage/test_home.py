"""The home: one secret, however many processes ask for it first."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ft_assets.errors import BrokenEnvironment
from ft_assets.storage.home import Home


def test_key_is_the_same_every_time_and_another_for_every_purpose(home: Home) -> None:
    key = home.key("receipts")
    assert len(key) == 32
    assert Home(home.root).key("receipts") == key
    assert home.key("split-ledger") != key


def test_homes_have_keys_of_their_own(home: Home, tmp_path: Path) -> None:
    assert Home(tmp_path / "other").key("receipts") != home.key("receipts")


def test_first_users_at_once_share_one_secret(home: Home) -> None:
    home.scratch  # noqa: B018
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: Home(home.root).key("race"), range(64)))
    assert len(keys) == 1
    assert [path.name for path in home.scratch.iterdir()] == ["instance.secret"]


def test_secret_is_for_its_owner_only(home: Home) -> None:
    home.key("any")
    assert stat.S_IMODE((home.scratch / "instance.secret").stat().st_mode) == 0o600


def test_secret_can_be_brought(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brought = tmp_path / "brought.secret"
    brought.write_bytes(b"s" * 32)
    monkeypatch.setenv("FT_ASSETS_SECRET_FILE", str(brought))
    assert home.key("any") == Home(tmp_path / "elsewhere").key("any")
    assert not (home.scratch / "instance.secret").exists()


def test_short_secret_is_refused(home: Home) -> None:
    (home.scratch / "instance.secret").write_bytes(b"short")
    with pytest.raises(BrokenEnvironment, match="must hold at least 32 random bytes, and holds 5"):
        home.key("any")


def test_root_comes_from_the_argument_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_ASSETS_HOME", str(tmp_path / "environment"))
    assert Home().root == str(tmp_path / "environment")
    assert Home(tmp_path / "argument").root == str(tmp_path / "argument")
    monkeypatch.delenv("FT_ASSETS_HOME")
    monkeypatch.chdir(tmp_path)
    assert Home().root == str(tmp_path / ".ft_assets")


def test_folder_that_cannot_be_made_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BrokenEnvironment, match="set FT_ASSETS_HOME to a writable folder"):
        Home(tmp_path / "file" / "home").scratch  # noqa: B018
