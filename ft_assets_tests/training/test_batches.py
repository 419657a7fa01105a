"""Steps and packs: every row where it belongs, and even shares."""

from hypothesis import given
from hypothesis import strategies as st

from ft_assets.recipe import Training
from ft_assets.training.batches import pack, plan_steps

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=60)


@given(LENGTHS, st.sampled_from([0.3, 1.0, 2.0, 2.5]), st.integers(16, 2000))
def test_every_epoch_holds_every_row_once(lengths: list[int], epochs: float, batch_tokens: int):
    steps = plan_steps(lengths, Training(epochs=epochs, batch_tokens=batch_tokens))
    seen = [row for step in steps for row in step]
    assert all(steps) and len(seen) == max(1, round(len(lengths) * epochs))
    for start in range(0, len(seen), len(lengths)):
        epoch = seen[start : start + len(lengths)]
        assert len(set(epoch)) == len(epoch)


@given(LENGTHS, st.integers(500, 3000))
def test_steps_are_of_about_batch_tokens(lengths: list[int], batch_tokens: int):
    steps = plan_steps(lengths, Training(epochs=3, batch_tokens=batch_tokens))
    mean = sum(lengths) * 3 / len(steps)
    assert len(steps) == 1 or mean < 1.6 * batch_tokens + max(lengths)
    assert all(abs(sum(lengths[row] for row in step) - mean) <= max(lengths) for step in steps)


@given(LENGTHS, st.integers(50, 600))
def test_packs_hold_every_row_once_and_no_more_tokens_than_allowed(lengths: list[int], most: int):
    packs = pack(range(len(lengths)), lengths, most)
    assert [row for group in packs for row in group] == [*range(len(lengths))]
    assert all(len(group) == 1 or sum(lengths[row] for row in group) <= most for group in packs)


def test_max_steps_caps_and_seed_decides_the_order():
    lengths = [10] * 50
    settings = Training(epochs=2, batch_tokens=50, max_steps=3)
    assert len(plan_steps(lengths, settings)) == 3
    assert plan_steps(lengths, settings) == plan_steps(lengths, settings)
    assert plan_steps(lengths, settings) != plan_steps(lengths, settings.model_copy(update={"seed": 1}))
