"""Checkpoints: whole or passed over."""

from pathlib import Path

import pytest
import torch  # noqa: TID253

from ft_assets.training.checkpoints import Checkpoints


def save(checkpoints: Checkpoints, *steps: int) -> None:
    for step in steps:
        checkpoints.save(step, {"weights": torch.full((4,), float(step))}, {"step": step})


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_newest_is_read_and_the_last_two_are_kept(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path, "a" * 64)
    assert checkpoints.latest() is None
    save(checkpoints, 2, 10, 9)
    found = checkpoints.latest()
    assert found is not None and found[1] == {"step": 10} and found[0]["weights"].tolist() == [10.0] * 4
    assert [name[:8] for name in names(checkpoints)] == ["00000009", "00000010"]


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damaged_one_is_passed_over_for_the_one_before(tmp_path: Path, file: str, damage: str):
    checkpoints = Checkpoints(tmp_path, "a" * 64)
    save(checkpoints, 1, 2)
    path = checkpoints.folder / names(checkpoints)[-1] / file
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-3] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    found = checkpoints.latest()
    assert found is not None and found[1] == {"step": 1}


def test_draft_of_a_killed_process_is_ignored_and_swept_up(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path, "a" * 64)
    save(checkpoints, 1)
    draft = checkpoints.folder / ".draft-99"
    draft.mkdir()
    (draft / "state.safetensors").write_bytes(b"half")
    found = checkpoints.latest()
    assert found is not None and found[1] == {"step": 1}
    save(checkpoints, 2)
    assert not draft.exists()


def test_those_of_another_identity_are_neither_read_nor_swept_up(tmp_path: Path):
    mine, other = Checkpoints(tmp_path, "a" * 64), Checkpoints(tmp_path, "b" * 64)
    save(other, 100, 101)
    save(mine, 1)
    found, found_other = mine.latest(), other.latest()
    assert found is not None and found[1] == {"step": 1}
    assert found_other is not None and found_other[1] == {"step": 101}


def test_one_copied_from_another_training_is_refused(tmp_path: Path):
    mine, other = Checkpoints(tmp_path, "a" * 64), Checkpoints(tmp_path, "b" * 64)
    save(other, 7)
    path = other.folder / names(other)[0]
    path.rename(mine.folder / path.name)
    assert mine.latest() is None
