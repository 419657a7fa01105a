"""Users stay with their arm, in the share that is planned."""

from hypothesis import given
from hypothesis import strategies as st

from ft_assets.registry.routing import Arm, Route, choose, route
from ft_assets.storage.home import Home

CHAMPION, CHALLENGER = Arm("base", None), Arm("tiny@abc", "abc")


def plan(weight: float, salt: str = "salt") -> Route:
    return Route(CHAMPION, CHALLENGER, weight, salt, "rollout")


@given(st.text(), st.floats(0, 1), st.text())
def test_same_user_gets_the_same_arm(user: str, weight: float, salt: str) -> None:
    assert choose(plan(weight, salt), user) == choose(plan(weight, salt), user)


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_challengers_users_stay_as_the_weight_rises(user: str, one: float, other: float) -> None:
    if choose(plan(min(one, other)), user) == CHALLENGER:
        assert choose(plan(max(one, other)), user) == CHALLENGER


@given(st.text())
def test_ends_of_the_scale(user: str) -> None:
    assert choose(plan(0.0), user) == CHAMPION
    assert choose(plan(1.0), user) == CHALLENGER
    assert choose(Route(CHAMPION, None, 0.0, "", None), user) == CHAMPION


def test_share_of_users_is_the_weight_and_a_new_salt_draws_afresh() -> None:
    users = [f"user {number}" for number in range(4000)]
    chosen = {salt: {u for u in users if choose(plan(0.25, salt), u) == CHALLENGER} for salt in "ab"}
    for some in chosen.values():
        assert 900 < len(some) < 1100
    assert 180 < len(chosen["a"] & chosen["b"]) < 320  # a sixteenth: the draws are independent


def test_nothing_promoted_routes_to_the_base(home: Home) -> None:
    assert route(home, "tiny") == Route(Arm("base", None), None, 0.0, "", None)
