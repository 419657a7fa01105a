"""`ft-assets rollout`: how a canary stands, signal by signal, and what a person decides about it."""

import getpass
import json
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from ft_assets.cli_output import OUT, as_json_option, print_rows
from ft_assets.errors import WrongInput
from ft_assets.rollout.means import shown_means
from ft_assets.storage.home import Home

_HELP = {
    "approve": "Take the next step, or promote at the last one, without waiting for more evidence.",
    "pause": "Keep its share and take no step; proof of harm still rolls it back.",
    "resume": "Let a paused or held rollout go on; a held one counts anew.",
    "abort": "End it; the champion stays.",
}


@click.command()
@click.argument("model")
@click.option("--approve", is_flag=True, help=_HELP["approve"])
@click.option("--pause", is_flag=True, help=_HELP["pause"])
@click.option("--resume", is_flag=True, help=_HELP["resume"])
@click.option("--abort", is_flag=True, help=_HELP["abort"])
@click.option("--by", default=getpass.getuser, show_default="your login name", help="Who decides.")
@click.option("--reason", default="by hand", show_default=True, help="Why, for the ledger.")
@as_json_option
def rollout(model: str, by: str, reason: str, as_json: bool, **decisions: bool) -> None:
    """Show the open rollout of MODEL with every signal's interval, or decide about it."""
    from ft_assets.rollout.decisions import DECISIONS, Decision, decide
    from ft_assets.rollout.report import standing

    home = Home()
    wanted: list[Decision] = [decision for decision in DECISIONS if decisions[decision]]
    if len(wanted) > 1:
        options = " and ".join(f"`--{decision}`" for decision in wanted)
        raise WrongInput(f"{options} are several decisions, and nothing was done: give one of them")
    if wanted:
        after = decide(home, model, wanted[0], by, reason)
        now = {"model": model, "challenger": after.challenger, "state": after.state, "weight": after.weight}
        print_rows([now], as_json, "")
        return
    found = standing(home, model)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    share = "as a shadow" if found["shadow"] else f"with {found['weight']:.0%} of users"
    headline = f"{found['challenger']} against {found['control']}: {found['state']}, {share}"
    OUT.print(f"[bold]{escape(headline)}[/]", soft_wrap=True)
    last = found["last_move"]
    OUT.print(escape(f"last: {last['action']} by {last['by']}: {last['reason']}"), soft_wrap=True)
    OUT.print(escape(f"next: {found['next']}: {found['reason']}"), soft_wrap=True)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("signal", "better", "challenger", "control", "interval", "margin", "answers"):
        table.add_column(heading, no_wrap=True)
    for name, signal in found["figures"]["signals"].items():
        means = shown_means(signal)
        counts = " / ".join(str(count) for count in signal["answers"])
        margin = "-" if signal["margin"] is None else f"{signal['margin']:g}"
        table.add_row(name, signal["better"], *means, _interval(signal), margin, counts)
    OUT.print(table)
    OUT.print("interval: of challenger - control; with ×, of their ratio. margin -: not watched")


def _interval(signal: dict[str, Any]) -> str:
    if signal["challenger"] is None:
        return "-"
    by = "×" if signal["measure"] == "ratio" else ""
    return f"{signal['low']:.3f}{by} to {signal['high']:.3f}{by}"
