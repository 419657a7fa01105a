"""Each rule of the gate on crafted rows."""

import pytest

from ft_assets.errors import Refused
from ft_assets.evaluation.gate import Verdict, decide, plain_verdict
from ft_assets.recipe import Gate
from ft_assets_tests.evaluation.crafted import match, results

GATE = Gate(resamples=400)
BETTER = {"base": {"loss": 3.9}, "candidate": {"loss": 2.9, "chrf": 60.0}}


def judge(
    arms: dict, gate: Gate = GATE, matches: tuple = (), incumbent: bool = False, **how: object
) -> Verdict:
    return decide(results(arms, **how), gate, matches, 30, incumbent)  # type: ignore[arg-type]


def rule(verdict: Verdict, name: str) -> str:
    return next(rule.outcome for rule in verdict.rules if rule.name == name)


def test_a_clear_gain_passes_and_every_rule_says_why() -> None:
    verdict = judge(BETTER)
    assert verdict.verdict == "pass"
    assert len(verdict.reasons) == len(verdict.rules)
    assert any("-1.0" in reason and "interval" in reason for reason in verdict.reasons)


def test_one_contaminated_row_fails_whatever_the_gain_and_names_where_it_came_from() -> None:
    verdict = judge(BETTER, matches=(match(3),))
    assert verdict.verdict == "fail"
    (reason,) = verdict.reasons
    for part in ("1 of 30", "row003", "seen003", "near", "0.91", "leak.jsonl", "20261121T1005-ab12cd34"):
        assert part in reason
    assert plain_verdict(results(BETTER))[0] == "pass"  # the failure that the whole design exists for


def test_many_contaminated_rows_are_counted_once_each() -> None:
    verdict = judge(BETTER, matches=tuple(match(at % 10) for at in range(40)))
    assert "10 of 30" in verdict.reasons[0]
    assert "and 5 more" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("loss", "gain", "outcome"),
    [
        (2.9, 0.0, "pass"),
        (2.9, 0.9, "pass"),
        (2.9, 1.0, "inconclusive"),
        (2.9, 1.2, "fail"),
        (4.1, 0.0, "fail"),
    ],
)
def test_loss_must_beat_the_base_by_the_stated_gain(loss: float, gain: float, outcome: str) -> None:
    arms = {"base": {"loss": 3.9}, "candidate": {"loss": loss}}
    verdict = judge(arms, GATE.model_copy(update={"min_gain_over_base": gain}))
    assert rule(verdict, "loss_vs_base") == verdict.verdict == outcome


def test_an_equal_model_is_inconclusive_and_a_plain_gate_may_well_pass_it() -> None:
    equal = {"base": {"loss": 3.0}, "candidate": {"loss": 3.0}}
    assert judge(equal).verdict == "inconclusive"
    assert judge(equal, noise=0.0).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("loss", "outcome"), [(2.5, "pass"), (2.94, "pass"), (2.95, "inconclusive"), (3.1, "fail")]
)
def test_loss_may_hardly_rise_above_the_incumbents(loss: float, outcome: str) -> None:
    arms = {"base": {"loss": 3.9}, "incumbent": {"loss": 2.9}, "candidate": {"loss": loss}}
    verdict = judge(arms, incumbent=True)
    assert rule(verdict, "loss_vs_incumbent") == verdict.verdict == outcome
    assert rule(verdict, "loss_vs_base") == "pass"


@pytest.mark.parametrize("against", ["base", "incumbent"])
@pytest.mark.parametrize(
    ("chrf", "outcome"), [(50.0, "pass"), (48.0, "pass"), (47.0, "inconclusive"), (44.0, "fail")]
)
def test_answers_may_hardly_worsen(against: str, chrf: float, outcome: str) -> None:
    arms = {name: {"loss": 3.9, "chrf": 0.0} for name in ("base", "incumbent")}
    arms[against]["chrf"] = 50.0
    verdict = judge({**arms, "candidate": {"loss": 2.9, "chrf": chrf}}, incumbent=True)
    assert rule(verdict, f"chrf_vs_{against}") == verdict.verdict == outcome


@pytest.mark.parametrize(("share", "outcome"), [(1.0, "pass"), (0.9, "inconclusive"), (0.5, "fail")])
def test_the_format_may_hardly_be_lost(share: float, outcome: str) -> None:
    arms = {"base": {"loss": 3.9}, "candidate": {"loss": 2.9, "format_ok": share}}
    verdict = judge(arms)
    assert rule(verdict, "format_ok_vs_base") == verdict.verdict == outcome


def test_no_format_means_no_format_rule() -> None:
    verdict = judge({"base": {"loss": 3.9, "format_ok": None}, "candidate": {"loss": 2.9, "format_ok": None}})
    assert verdict.verdict == "pass"
    assert not any("format" in rule.name for rule in verdict.rules)


def test_few_rows_are_inconclusive_however_large_the_gain() -> None:
    verdict = judge(BETTER, rows=19)
    assert (verdict.verdict, rule(verdict, "rows")) == ("inconclusive", "inconclusive")


def test_rows_of_one_cluster_are_inconclusive() -> None:
    assert judge(BETTER, clusters=1).verdict == "inconclusive"


def test_a_fail_outweighs_what_is_inconclusive_and_comes_first() -> None:
    verdict = judge(BETTER, rows=10, matches=(match(),))
    assert verdict.verdict == "fail"
    assert "seen in training" in verdict.reasons[0]
    assert "too few" in verdict.reasons[1]


def test_a_model_that_answers_nothing_fails() -> None:
    verdict = judge(
        {"base": {"loss": 3.9, "chrf": 0.0}, "candidate": {"loss": 2.9, "chrf": 0.0, "answer": " \n"}}
    )
    assert verdict.verdict == "fail"
    assert "empty" in verdict.reasons[0]


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_model_whose_loss_ran_away_fails(broken: float) -> None:
    verdict = judge({"base": {"loss": 3.9}, "candidate": {"loss": broken}})
    assert verdict.verdict == "fail"
    assert "not a number on 30" in verdict.reasons[0]
    assert judge({"base": {"loss": broken}, "candidate": {"loss": 2.9}}).verdict == "inconclusive"


def test_an_incumbent_that_was_not_measured_is_inconclusive() -> None:
    assert judge(BETTER, incumbent=True).verdict == "inconclusive"


def test_arms_with_other_rows_cannot_be_paired() -> None:
    rows = results(BETTER)
    with pytest.raises(Refused, match="paired"):
        decide(rows.slice(1), GATE, [], 30, False)
    with pytest.raises(Refused, match="base and a candidate"):
        decide(rows.slice(0, 30), GATE, [], 30, False)


def test_the_table_has_a_mean_for_each_arm_and_none_for_an_absent_one() -> None:
    table = judge(BETTER).table()
    assert table["incumbent"] is None
    assert table["candidate"] is not None
    assert table["candidate"]["loss"] == pytest.approx(2.9, abs=0.02)
    assert table["candidate"]["rows"] == 30


def test_the_order_of_rows_does_not_matter() -> None:
    rows = results(BETTER)
    backwards = rows.take(list(range(rows.num_rows))[::-1])
    assert decide(rows, GATE, [], 30, False) == decide(backwards, GATE, [], 30, False)
