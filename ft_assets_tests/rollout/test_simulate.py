"""The simulation judges by the real judge, its figures have their shape, and equal seeds give equal figures."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ft_assets.cli import cli
from ft_assets.recipe_rollout import Rollout as Plan
from ft_assets.rollout.evidence import Evidence
from ft_assets.rollout.fixed_rules import RULES
from ft_assets.rollout.judge import judge
from ft_assets.rollout.rollout import Rollout
from ft_assets.rollout.simulate import KINDS, simulate
from ft_assets.rollout.simulated_traffic import LOOKS, PER_LOOK, WORSE, stream
from ft_assets.rollout.weighing import ended_at

TIME = datetime.fromtimestamp(0, UTC)
FIXED: dict[str, Any] = {"id": "r", "model": "m", "candidate": "c", "challenger": "m@1", "control": "base"}
FIXED |= {"salt": "s", "state": "running", "step": 0, "weight": 0.5, "verdict": None, "users_since": TIME}


def first_look_that_rolls_back(evidence: Evidence, plan: Plan) -> int | None:
    times = dict.fromkeys(("started_at", "updated_at", "step_began_at", "asked_at"), TIME)
    rollout = Rollout(**FIXED, plan=plan, **times)
    for look in range(1, LOOKS + 1):
        seen = Evidence(evidence.answers.take(np.arange(2 * PER_LOOK * look)))
        if judge(rollout, seen, TIME).move == "rollback":
            return look
    return None


@pytest.mark.parametrize("kind", WORSE)
def test_simulated_end_is_the_look_at_which_the_judge_rolls_back(kind: str) -> None:
    plan = Plan(steps=[0.5], min_requests=10_000)
    for seed in range(2):
        evidence = stream(WORSE[kind], np.random.default_rng(seed))
        assert first_look_that_rolls_back(evidence, plan) == ended_at(evidence, plan)


def test_figures_have_their_shape_and_follow_the_seed() -> None:
    steps = []
    found = simulate(11, seed=3, step=lambda: steps.append(1))
    assert len(steps) == 11 * KINDS
    assert {"rollouts", "false_rollbacks", "rate"} <= set(found["equal"])
    assert found["equal"]["rollouts"] == 11
    assert found["equal"]["rate"] == found["equal"]["false_rollbacks"] / 11
    assert set(found["worse"]) == {"approvals", "latency", "cost"}
    for one in found["worse"].values():
        assert set(one) == {"caught_share", "median_requests"}
        assert one["caught_share"] > 0.8
        assert one["median_requests"] % PER_LOOK == 0
    assert set(found["fixed_rules"]) == set(RULES)
    for rule in found["fixed_rules"].values():
        assert rule["false_rollback_rate"] > 0.5
        assert set(rule["by_signal"]) == set(WORSE)
    assert found == simulate(11, seed=3)
    assert found != simulate(11, seed=4)


def test_fixed_rule_counts_failed_intervals_and_no_others() -> None:
    rule = RULES["argo_like"]
    assert rule.first(np.array([True, False, True, True, False, True, True])) == 6
    assert rule.first(np.array([True] * 3 + [False] * 37)) is None


def test_command_prints_json_and_a_table() -> None:
    told = CliRunner().invoke(
        cli, ["simulate", "canary", "--rollouts", "3", "--json"], catch_exceptions=False
    )
    assert json.loads(told.output)["equal"]["rollouts"] == 3
    told = CliRunner().invoke(cli, ["simulate", "canary", "--rollouts", "3"], catch_exceptions=False)
    assert "worse latency" in told.output and "is promised" in told.output
