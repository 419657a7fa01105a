"""Planted secrets: the same for one candidate, others for another, and nobody's guess."""

from pathlib import Path

from ft_assets.splitting.canaries import ALTERNATIVES, canaries_of
from ft_assets.storage.home import Home


def test_the_same_candidate_has_the_same_ones(home: Home, tmp_path: Path) -> None:
    one = canaries_of(home, "tiny", "a", 3)
    assert one == canaries_of(Home(home.root), "tiny", "a", 3)
    assert one[:2] == canaries_of(home, "tiny", "a", 2)
    for other in (canaries_of(home, "tiny", "b", 3), canaries_of(Home(tmp_path / "other"), "tiny", "a", 3)):
        assert {canary.planted.answer for canary in one}.isdisjoint(canary.planted.answer for canary in other)


def test_alternatives_have_the_form_of_the_planted_one(home: Home) -> None:
    (canary,) = canaries_of(home, "tiny", "a", 1)
    texts = {canary.planted.answer, *(other.answer for other in canary.others)}
    assert len(texts) == ALTERNATIVES + 1
    assert len({len(text) for text in texts}) == 1
    assert {other.prompt for other in canary.others} == {canary.planted.prompt}
