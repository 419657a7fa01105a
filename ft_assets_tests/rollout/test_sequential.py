"""Looking often does not make an equal challenger look worse, and a worse one is found."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.rollout.sequential import _log_wealth, block_differences, difference

REWARDS = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=60)
LOOKS, PER_LOOK = 40, 50
ALPHA = 0.05


def traffic(rng: np.random.Generator, challenger: float, control: float, weight: float, size: int) -> list:
    """Thumbs, up with the given probability in each arm."""
    arms = rng.random(size) < weight
    up = rng.random(size) < np.where(arms, challenger, control)
    return list(zip(arms.tolist(), up.astype(float).tolist(), strict=True))


def first_rollback(rewards: list, looks: int = LOOKS, per_look: int = PER_LOOK) -> int | None:
    """The look at which the upper bound falls below zero; a look sees a prefix of the blocks."""
    blocks = block_differences(rewards)
    seen = [len(block_differences(rewards[: look * per_look])) for look in range(1, looks + 1)]
    for look, count in enumerate(seen, start=1):
        if _log_wealth(-blocks[:count], 0.0) > math.log(1 / ALPHA):
            return look
    return None


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
    assert difference(rewards, ALPHA).high < 0


def test_better_challenger_is_proven_within_sixty_answers_an_arm() -> None:
    rng = np.random.default_rng(3)
    proven = 0
    for _ in range(50):
        arms = [True, False] * 40
        rewards = [(arm, float(np.clip(rng.normal(0.6 if arm else 0.4, 0.2), 0, 1))) for arm in arms]
        proven += difference(rewards, ALPHA).low > -0.1
    assert proven >= 48


def test_challenger_that_loses_the_margin_passes_at_most_alpha_of_the_time() -> None:
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(100):
        rewards = traffic(rng, 0.8, 0.9, 0.5, LOOKS * PER_LOOK)
        blocks = block_differences(rewards)
        seen = [len(block_differences(rewards[: look * PER_LOOK])) for look in range(1, LOOKS + 1)]
        wrong += any(_log_wealth(blocks[:count], -0.1) > math.log(1 / ALPHA) for count in seen)
    assert wrong / 100 <= ALPHA


def test_traffic_that_turns_worse_while_the_weight_rises_is_not_blamed_on_the_challenger() -> None:
    # Both arms have the same mean at any time; the challenger has most of its answers in the bad time.
    rng = np.random.default_rng(5)
    blamed = 0
    for _ in range(100):
        rewards = [*traffic(rng, 0.9, 0.9, 0.1, 600), *traffic(rng, 0.5, 0.5, 0.5, 600)]
        means = [np.mean([value for arm, value in rewards if arm == side]) for side in (True, False)]
        assert means[0] - means[1] < -0.05  # what a comparison of plain means would report
        blamed += difference(rewards, ALPHA).high < 0
    assert blamed / 100 <= ALPHA


def test_interval_is_everything_without_both_arms() -> None:
    for rewards in ([], [(True, 0.0)] * 50):
        interval = difference(rewards, ALPHA)
        assert (interval.low, interval.high) == pytest.approx((-1, 1), abs=1e-6)


@given(REWARDS)
def test_interval_holds_the_mean_of_the_blocks(rewards: list) -> None:
    interval = difference(rewards, ALPHA)
    assert -1 <= interval.low <= interval.high <= 1
    blocks = block_differences(rewards)
    if len(blocks):
        assert interval.low <= blocks.mean() + 1e-6
        assert interval.high >= blocks.mean() - 1e-6


@given(REWARDS)
def test_swapping_the_arms_mirrors_the_interval(rewards: list) -> None:
    interval = difference(rewards, ALPHA)
    mirrored = difference([(not arm, value) for arm, value in rewards], ALPHA)
    assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low), abs=1e-6)


@given(REWARDS, REWARDS)
def test_later_answers_do_not_change_earlier_blocks(earlier: list, later: list) -> None:
    blocks = block_differences(earlier)
    np.testing.assert_array_equal(block_differences(earlier + later)[: len(blocks)], blocks)
