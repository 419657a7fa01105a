"""Looking often does not make an equal challenger look worse, and a worse one is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.rollout.matching import matching
from ft_assets.rollout.sequential import Interval, difference, first_refuted

REWARDS = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=60)
LOOKS, PER_LOOK = 40, 50
ALPHA, EFFECT = 0.05, 0.1


def traffic(rng: np.random.Generator, challenger: float, control: float, weight: float, size: int) -> list:
    """Thumbs, up with the given probability in each arm."""
    arms = rng.random(size) < weight
    up = rng.random(size) < np.where(arms, challenger, control)
    return list(zip(arms.tolist(), up.astype(float).tolist(), strict=True))


def differences(rewards: list) -> tuple[np.ndarray, np.ndarray]:
    """Difference (challenger - control) of each match, and the index of the reward at which it was known."""
    dealt = matching(np.array([arm for arm, _ in rewards], dtype=bool))
    means = dealt.means(np.array([value for _, value in rewards], dtype=float))
    return means[:, 0] - means[:, 1], dealt.ends


def interval(rewards: list) -> Interval:
    return difference(differences(rewards)[0], ALPHA, EFFECT)


def first_rollback(rewards: list) -> int | None:
    """The look after which it is refuted that the challenger is no worse."""
    found, ends = differences(rewards)
    first = first_refuted(-found, 0.0, EFFECT, ALPHA)
    return None if first is None else int(ends[first]) // PER_LOOK + 1


@pytest.mark.parametrize(("mean", "weight"), [(0.9, 0.5), (0.5, 0.25)])
def test_equal_challenger_is_rolled_back_at_most_alpha_of_the_time(mean: float, weight: float) -> None:
    rng = np.random.default_rng(1)
    runs = [first_rollback(traffic(rng, mean, mean, weight, LOOKS * PER_LOOK)) for _ in range(300)]
    assert sum(look is not None for look in runs) / len(runs) <= ALPHA


@pytest.mark.parametrize(("loss", "within"), [(0.1, 300), (0.2, 100)])
def test_loss_is_caught(loss: float, within: int) -> None:
    rng = np.random.default_rng(2)
    runs = [first_rollback(traffic(rng, 0.9 - loss, 0.9, 0.5, LOOKS * PER_LOOK)) for _ in range(100)]
    caught = sorted(look * PER_LOOK // 2 for look in runs if look is not None)
    assert len(caught) >= 98
    assert caught[len(caught) // 2] <= within  # requests an arm, median


def test_total_failure_is_caught_within_a_dozen_answers_an_arm() -> None:
    rewards = [(True, 0.0), (False, 1.0)] * 12
    assert interval(rewards).high < 0


def test_better_challenger_is_proven_within_sixty_answers_an_arm() -> None:
    rng = np.random.default_rng(3)
    proven = 0
    for _ in range(50):
        arms = [True, False] * 40
        rewards = [(arm, float(np.clip(rng.normal(0.6 if arm else 0.4, 0.2), 0, 1))) for arm in arms]
        proven += interval(rewards).low > -0.1
    assert proven >= 48


def test_challenger_that_loses_the_margin_passes_at_most_alpha_of_the_time() -> None:
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(100):
        rewards = traffic(rng, 0.8, 0.9, 0.5, LOOKS * PER_LOOK)
        wrong += first_refuted(differences(rewards)[0], -0.1, EFFECT, ALPHA) is not None
    assert wrong / 100 <= ALPHA


def test_traffic_that_turns_worse_while_the_weight_rises_is_not_blamed_on_the_challenger() -> None:
    # Both arms have the same mean at any time; the challenger has most of its answers in the bad time.
    rng = np.random.default_rng(5)
    blamed = 0
    for _ in range(100):
        rewards = [*traffic(rng, 0.9, 0.9, 0.1, 600), *traffic(rng, 0.5, 0.5, 0.5, 600)]
        means = [np.mean([value for arm, value in rewards if arm == side]) for side in (True, False)]
        assert means[0] - means[1] < -0.05  # what a comparison of plain means would report
        blamed += interval(rewards).high < 0
    assert blamed / 100 <= ALPHA


def test_interval_is_everything_without_both_arms() -> None:
    for rewards in ([], [(True, 0.0)] * 50):
        found = interval(rewards)
        assert (found.low, found.high) == pytest.approx((-1, 1), abs=1e-6)


@given(REWARDS)
def test_interval_holds_the_mean_of_the_matches(rewards: list) -> None:
    found = interval(rewards)
    assert -1 <= found.low <= found.high <= 1
    seen, _ = differences(rewards)
    if len(seen):
        assert found.low <= seen.mean() + 1e-6
        assert found.high >= seen.mean() - 1e-6


@given(REWARDS)
def test_swapping_the_arms_mirrors_the_interval(rewards: list) -> None:
    found = interval(rewards)
    mirrored = interval([(not arm, value) for arm, value in rewards])
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-6)


@given(REWARDS, REWARDS)
def test_later_answers_do_not_change_earlier_matches(earlier: list, later: list) -> None:
    found, _ = differences(earlier)
    np.testing.assert_array_equal(differences(earlier + later)[0][: len(found)], found)


def test_pairs_are_matches_of_their_own_and_come_first() -> None:
    arms = [True, False] * 3 + [True, False, False] * 4
    dealt = matching(np.array(arms), pairs=3)
    values = np.arange(len(arms), dtype=float)
    np.testing.assert_array_equal(dealt.means(values)[:3], [[0, 1], [2, 3], [4, 5]])
    assert dealt.starts.tolist() == [0, 2, 4, 6, 6, 6, 6]
    assert dealt.ends.tolist()[:3] == [1, 3, 5]


def test_every_answer_of_a_finished_block_counts_once() -> None:
    rng = np.random.default_rng(6)
    arms = rng.random(200) < 0.3
    dealt = matching(arms)
    used = dealt.match >= 0
    assert used[: dealt.ends[-1] + 1].all() and not used[dealt.ends[-1] + 1 :].any()
    assert set(dealt.match[used & arms]) == set(dealt.match[used & ~arms]) == set(range(len(dealt.ends)))
