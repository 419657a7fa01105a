"""`ft-assets simulate`: how often a decision errs, counted on invented data whose truth is known."""

import json
from collections.abc import Callable
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from ft_assets.cli_output import ERR, OUT, as_json_option

_seed = click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="The same one, the same figures."
)
Run = Callable[[Callable[[], None]], dict[str, Any]]
"""A simulation: calls what it is given once for each thing it has done."""


@click.group()
def simulate() -> None:
    """Count how often a decision errs, on invented data whose truth is known."""


@simulate.command()
@click.option(
    "--gates",
    default=2_000,
    show_default=True,
    type=click.IntRange(min=1),
    help="Candidates judged of each kind.",
)
@_seed
@as_json_option
def gate(gates: int, seed: int, as_json: bool) -> None:
    """Judge candidates that are no better, better, or worse on one slice, and count what is promoted."""
    from ft_assets.evaluation.simulate import scenarios, simulate

    kinds = scenarios(seed)
    _tell(lambda done: simulate(kinds, gates, seed, done), gates * len(kinds), as_json, _print)


@simulate.command()
@click.option(
    "--rollouts",
    default=2_000,
    show_default=True,
    type=click.IntRange(min=1),
    help="Rollouts judged of each kind of challenger.",
)
@_seed
@as_json_option
def canary(rollouts: int, seed: int, as_json: bool) -> None:
    """Roll out challengers that are equal, or worse in one thing, beside rules with fixed thresholds."""
    from ft_assets.rollout.simulate import KINDS, simulate

    _tell(lambda done: simulate(rollouts, seed, done), rollouts * KINDS, as_json, _print_canary)


def _tell(run: Run, total: int, as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    """Run a simulation under a progress bar, and print what it found for people or for programs."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=ERR, transient=True, disable=as_json) as progress:
        task = progress.add_task("simulated", total=total)
        found = run(lambda: progress.advance(task))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show(found)


def _print_canary(found: dict[str, Any]) -> None:
    equal, rules = found["equal"], found["fixed_rules"]
    table = Table(title="rolled back, and median requests an arm until then", title_justify="left", box=None)
    for heading in ("challenger", "ours", *rules):
        table.add_column(heading, no_wrap=True)
    false = (f"{rule['false_rollback_rate']:.1%}" for rule in rules.values())
    table.add_row("equal (approvals alone for fixed rules)", f"{equal['rate']:.2%}", *false)
    for name, ours in found["worse"].items():
        others = (rule["by_signal"][name] for rule in rules.values())
        table.add_row(f"worse {name}", *(_caught(one) for one in (ours, *others)))
    OUT.print(table)
    low, high = equal["interval"]
    OUT.print(
        f"equal: {equal['false_rollbacks']} of {equal['rollouts']}, 95 % interval {low:.2%} to {high:.2%}; "
        f"{equal['alpha']:.0%} is promised"
    )


def _caught(one: dict[str, Any]) -> str:
    median = "-" if one["median_requests"] is None else f"{one['median_requests']:.0f}"
    return f"{one['caught_share']:.1%}, {median}"


def _print(found: dict[str, dict[str, Any]]) -> None:
    table = Table(box=None)
    table.add_column("candidates", no_wrap=True)
    for heading in ("rows", "promoted", "95 % interval", "stated", "failed", "better mean"):
        table.add_column(heading, justify="right")
    for name, one in found.items():
        low, high = one["promoted_interval"]
        table.add_row(
            name,
            str(one["rows"]),
            f"{one['promoted'] / one['gates']:.1%}",
            f"{low:.1%} to {high:.1%}",
            _stated(one),
            f"{one['failed'] / one['gates']:.1%}",
            f"{one['plain_rule_promoted'] / one['gates']:.1%}",
        )
    OUT.print(table)
    OUT.print(
        "stated: at most, where the candidate is no good; about, where it is better. better mean: what a gate would "
        "promote that only compares means."
    )


def _stated(one: dict[str, Any]) -> str:
    if "stated_power" in one:
        return f"{one['stated_power']:.1%} for {one['effect']:.3f}"
    return f"{one['stated_rate']:.1%}" if "stated_rate" in one else ""
