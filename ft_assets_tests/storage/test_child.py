"""How a child ended is raised again as what it was: a refusal stays one, with its exit code."""

from pathlib import Path

import pytest

from ft_assets.errors import BrokenEnvironment, FtAssetsError, Refused, WrongInput
from ft_assets.storage.child import Ended, read_ended


def read(file: Path) -> Ended:
    return read_ended(Ended, file, "training of x", Path("x.log"), "it goes on")


@pytest.mark.parametrize("kind", [Refused, WrongInput, BrokenEnvironment])
def test_the_kind_of_error_comes_out_as_it_went_in(tmp_path: Path, kind: type[FtAssetsError]) -> None:
    file = tmp_path / "outcome.json"
    file.write_text(Ended.by(kind("row 3 is empty")).model_dump_json())
    with pytest.raises(
        FtAssetsError, match=r"training of x failed: row 3 is empty; its log is x\.log"
    ) as told:
        read(file)
    assert type(told.value) is kind and told.value.exit_code == kind.exit_code


def test_an_error_that_is_not_for_people_is_the_environments_and_keeps_its_name(tmp_path: Path) -> None:
    file = tmp_path / "outcome.json"
    file.write_text(Ended.by(KeyError("x")).model_dump_json())
    with pytest.raises(BrokenEnvironment, match="failed: KeyError: 'x'"):
        read(file)


def test_a_child_that_told_nothing_was_killed(tmp_path: Path) -> None:
    with pytest.raises(BrokenEnvironment, match="was killed"):
        read(tmp_path / "outcome.json")
    (tmp_path / "outcome.json").write_text(Ended().model_dump_json())
    assert read(tmp_path / "outcome.json").failure is None
