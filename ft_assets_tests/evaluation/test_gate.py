"""Each rule of the gate on crafted rows."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.errors import Refused
from ft_assets.evaluation.comparison import as_json
from ft_assets.evaluation.gate import Verdict, decide, plain_verdict
from ft_assets.evaluation.past import Past
from ft_assets.evaluation.rule import Rule
from ft_assets.recipe_evaluation import Gate
from ft_assets_tests.evaluation.crafted import MEASURED, match, results

# Thirty rows without one changed answer leave room for eleven points of loss.
GATE = Gate(resamples=400, margins={"exact": 0.2})
BETTER = {"base": {"loss": 3.9}, "candidate": {"loss": 2.9, "chrf": 60.0}}


def judge(
    arms: dict, gate: Gate = GATE, matches: tuple = (), incumbent: bool = False, **how: object
) -> Verdict:
    return decide(results(arms, **how), MEASURED, gate, matches, 30, incumbent)  # type: ignore[arg-type]


def suited(**settings: object) -> Gate:
    return GATE.model_copy(update=settings)


def found(verdict: Verdict, name: str) -> Rule:
    return next(rule for rule in verdict.rules if rule.name == name)


def rule(verdict: Verdict, name: str) -> str:
    return found(verdict, name).outcome


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
    verdict = judge(arms, suited(min_gain=gain))
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


@pytest.mark.parametrize(
    ("loss", "outcome"), [(2.5, "pass"), (2.899, "inconclusive"), (2.94, "fail"), (3.1, "fail")]
)
def test_the_incumbent_must_be_beaten_where_the_recipe_says_both(loss: float, outcome: str) -> None:
    arms = {"base": {"loss": 3.9}, "incumbent": {"loss": 2.9}, "candidate": {"loss": loss}}
    verdict = judge(arms, suited(superior_to="both"), incumbent=True)
    assert rule(verdict, "loss_vs_incumbent") == verdict.verdict == outcome


@pytest.mark.parametrize("against", ["base", "incumbent"])
@pytest.mark.parametrize(
    ("chrf", "outcome"), [(50.0, "pass"), (48.0, "pass"), (47.0, "inconclusive"), (44.0, "fail")]
)
def test_answers_may_hardly_worsen(against: str, chrf: float, outcome: str) -> None:
    arms = {name: {"loss": 3.9, "chrf": 0.0} for name in ("base", "incumbent")}
    arms[against]["chrf"] = 50.0
    verdict = judge({**arms, "candidate": {"loss": 2.9, "chrf": chrf}}, incumbent=True)
    assert rule(verdict, f"chrf_vs_{against}") == verdict.verdict == outcome


@pytest.mark.parametrize(("share", "outcome"), [(1.0, "pass"), (0.9, "inconclusive"), (0.4, "fail")])
def test_right_answers_may_hardly_be_lost(share: float, outcome: str) -> None:
    verdict = judge({"base": {"loss": 3.9}, "candidate": {"loss": 2.9, "exact": share}})
    assert rule(verdict, "exact_vs_base") == verdict.verdict == outcome


def test_few_rows_without_a_changed_answer_do_not_show_that_none_would_be_lost() -> None:
    """A bootstrap would call this an interval of no width, and pass."""
    verdict = judge(BETTER, suited(margins={}))
    assert rule(verdict, "exact_vs_base") == verdict.verdict == "inconclusive"
    many = judge(BETTER, suited(margins={}), rows=80)
    assert many.verdict == "pass"


def test_any_metric_may_be_the_primary_one() -> None:
    base = {"exact": 0.2}
    gate = suited(primary="exact", margins={})
    assert judge({"base": base, "candidate": {"exact": 0.6}}, gate).verdict == "pass"
    assert judge({"base": base, "candidate": {"exact": 0.2 + 5 / 30}}, gate).verdict == "inconclusive"
    assert judge({"base": {"exact": 1.0}, "candidate": {"exact": 0.4}}, gate).verdict == "fail"
    assert judge({"base": base, "candidate": {"exact": 0.6, "loss": 3.2}}, gate).verdict == "fail"


def test_a_metric_that_applies_to_no_row_has_no_rule_unless_it_is_the_primary_one() -> None:
    arms = {"base": {"loss": 3.9, "exact": None}, "candidate": {"loss": 2.9, "exact": None}}
    verdict = judge(arms)
    assert verdict.verdict == "pass"
    assert not any("exact" in rule.name for rule in verdict.rules)
    assert judge(arms, suited(primary="exact")).verdict == "inconclusive"


def test_a_metric_that_applies_to_some_rows_is_judged_on_those() -> None:
    half = [50.0 if at < 15 else None for at in range(30)]
    worse = [40.0 if at < 15 else None for at in range(30)]
    verdict = judge({"base": {"loss": 3.9, "chrf": half}, "candidate": {"loss": 2.9, "chrf": worse}})
    assert rule(verdict, "chrf_vs_base") == "fail"
    assert "15 rows" in found(verdict, "chrf_vs_base").reason
    with pytest.raises(Refused, match="chrf was measured on other rows"):
        judge({"base": {"chrf": half}, "candidate": {"chrf": 50.0}})


def test_a_slice_that_got_worse_fails_whatever_the_mean() -> None:
    after = [2.0 if at % 2 else 4.3 for at in range(30)]
    arms = {"base": {"loss": 3.9}, "candidate": {"loss": after}}
    verdict = judge(arms, slices=("api", "cli"))
    assert rule(verdict, "loss_vs_base:slice api") == verdict.verdict == "fail"
    assert rule(verdict, "loss_vs_base:slice cli") == "pass"
    assert judge(arms, slices=("all",)).verdict != "fail"


def test_small_slices_are_judged_together_by_name() -> None:
    slices = ["big"] * 10 + ["rare", "odd"]
    after = [4.9 if at % 12 >= 10 else 2.0 for at in range(120)]
    verdict = judge({"base": {"loss": 3.9}, "candidate": {"loss": after}}, rows=120, slices=slices)
    assert rule(verdict, "loss_vs_base:slice big") == "pass"
    small = found(verdict, "loss_vs_base:the small slices together (odd, rare)")
    assert small.outcome == "fail"
    assert "20 rows" in small.reason


def test_few_rows_are_inconclusive_however_large_the_gain() -> None:
    verdict = judge(BETTER, rows=19)
    assert (verdict.verdict, rule(verdict, "rows")) == ("inconclusive", "inconclusive")


def test_rows_of_one_cluster_are_inconclusive() -> None:
    verdict = judge(BETTER, clusters=1)
    assert verdict.verdict == "inconclusive"
    assert "rows of more clusters" in found(verdict, "loss_vs_base").reason


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


@pytest.mark.parametrize("metric", ["loss", "chrf"])
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_candidate_whose_numbers_ran_away_fails_and_a_base_is_inconclusive(
    metric: str, broken: float
) -> None:
    worst = [broken] + [3.0] * 29
    verdict = judge({"base": {"loss": 3.9}, "candidate": {"loss": 2.9, metric: worst}})
    assert verdict.verdict == "fail"
    assert f"{metric} of the candidate is not a number on 1 eval row" in verdict.reasons[0]
    base = {"loss": 3.9, metric: worst}
    assert judge({"base": base, "candidate": {"loss": 2.9}}).verdict == "inconclusive"


def test_an_incumbent_that_was_not_measured_is_inconclusive() -> None:
    assert judge(BETTER, incumbent=True).verdict == "inconclusive"


def test_arms_with_other_rows_cannot_be_paired() -> None:
    rows = results(BETTER)
    for table, why in (
        (rows.slice(1), "paired"),
        (rows.slice(0, 30), "candidate"),
        (rows.slice(0, 0), "base"),
    ):
        with pytest.raises(Refused, match=why):
            decide(table, MEASURED, GATE, [], 30, False)


def test_a_fail_is_corrected_for_the_number_of_comparisons() -> None:
    """A loss that alone would be significant is not, as one of many: Holm asks more of the least p value."""
    noise = np.random.default_rng(5).standard_normal(30)
    chrf = 47 - 0.85 + 2 * (noise - noise.mean()) / noise.std()
    arms = {"base": {"loss": 3.9, "chrf": [50.0] * 30}, "candidate": {"loss": 2.9, "chrf": chrf.tolist()}}
    verdict = judge(arms)
    (difference,) = [one for one in verdict.differences if one.metric == "chrf"]
    assert 0.025 / len([*verdict.differences, *verdict.parts]) < difference.p_fail <= 0.025
    assert verdict.verdict == "inconclusive"
    assert "by chance" in found(verdict, "chrf_vs_base").reason


def test_an_inconclusive_rule_says_how_many_rows_would_settle_it_or_that_they_would_rather_not() -> None:
    def reason(loss: float) -> str:
        return found(
            judge({"base": {"loss": 3.0}, "candidate": {"loss": loss}}, noise=0.2), "loss_vs_base"
        ).reason

    assert "more eval rows would settle it in 80%" in reason(2.93)
    assert "would rather show a fail" in reason(3.05)


def test_the_rows_that_are_asked_for_do_settle_it() -> None:
    arms = {"base": {"loss": 3.0}, "candidate": {"loss": 2.9}}
    reason = found(judge(arms, noise=0.25), "loss_vs_base").reason
    more = int(reason.split("about ")[1].split()[0])
    assert 5 < more < 200
    assert judge(arms, noise=0.25, rows=2 * (30 + more)).verdict == "pass"


def test_each_task_of_retention_has_a_rule() -> None:
    scores = [
        {"arm": arm, "id": f"{at}", "task": task, "score": float(at >= (lost if arm == "candidate" else 0))}
        for task, lost in (("arithmetic", 0), ("spelling", 60))
        for at in range(150)
        for arm in ("base", "candidate")
    ]
    verdict = decide(results(BETTER), MEASURED, GATE, [], 30, False, pa.Table.from_pylist(scores))
    assert rule(verdict, "retention_vs_base:arithmetic") == "pass"
    assert rule(verdict, "retention_vs_base:spelling") == verdict.verdict == "fail"
    assert {one.part for one in verdict.parts} >= {"task arithmetic", "task spelling"}


def test_worn_eval_rows_warn_and_do_not_hold_back() -> None:
    for judged, warns in ((19, False), (20, True)):
        verdict = decide(results(BETTER), MEASURED, GATE, [], 30, False, past=Past(judged))
        assert verdict.verdict == "pass"
        reason = found(verdict, "eval_set").reason
        assert f"judged {judged} candidates" in reason
        assert reason.startswith("warning") == warns


def test_the_table_has_a_mean_for_each_arm_and_none_for_an_absent_one() -> None:
    table = judge(BETTER).table()
    assert table["incumbent"] is None
    assert table["candidate"] is not None
    assert table["candidate"]["loss"] == pytest.approx(2.9, abs=0.02)
    assert table["candidate"]["rows"] == 30


def test_every_difference_is_plain_json_with_its_interval_and_p_value() -> None:
    for how in ({}, {"clusters": 1}):
        verdict = judge(BETTER, **how)
        said = [json.loads(json.dumps(as_json(one), allow_nan=False)) for one in verdict.differences]
        assert [one["metric"] for one in said] == ["loss", "chrf", "exact"]
        assert all(
            {"against", "mean", "low", "high", "rows", "clusters", "p", "p_fail"} <= {*one} for one in said
        )


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_and_arms_does_not_matter(random) -> None:
    rows = results({**BETTER, "incumbent": {"loss": 3.0}}, clusters=25)
    order = list(range(rows.num_rows))
    random.shuffle(order)
    assert decide(rows, MEASURED, GATE, [], 30, True) == decide(
        rows.take(order), MEASURED, GATE, [], 30, True
    )


@settings(max_examples=40)
@given(st.lists(st.floats(-3, 3), min_size=8, max_size=30), st.floats(0.01, 100))
def test_what_is_called_better_is_worse_the_other_way_round(changes: list[float], scale: float) -> None:
    """Swapping the arms mirrors the evidence, and a change of the unit changes no p value."""
    rows = len(changes)
    before, after = [3.0] * rows, [3.0 + change for change in changes]

    def difference(base: list[float], candidate: list[float]):
        arms = {"base": {"chrf": base}, "candidate": {"chrf": candidate}}
        verdict = judge(arms, suited(primary="chrf"), rows=rows, slices=("all",))
        return next(one for one in verdict.differences if one.metric == "chrf")

    there, back = difference(before, after), difference(after, before)
    assert there.p == pytest.approx(back.p_fail)
    assert there.interval.low == pytest.approx(-back.interval.high, abs=1e-6)
    scaled = difference([scale * one for one in before], [scale * one for one in after])
    assert scaled.p == pytest.approx(there.p)
