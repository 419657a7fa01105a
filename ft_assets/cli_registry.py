"""The commands of the registry: what served, what is proven, what lies behind it, and going back."""

import getpass
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from ft_assets.cli_output import OUT, as_json_option, print_rows, print_tree
from ft_assets.errors import Refused, WrongInput
from ft_assets.storage.home import Home


@click.command()
@click.argument("model", required=False)
@click.option("--at", type=click.DateTime(), help="Say only what served at this time (UTC).")
@as_json_option
def history(model: str | None, at: datetime | None, as_json: bool) -> None:
    """List what was promoted, rolled back, or held, by whom and why."""
    from ft_assets.registry.history import history as entries
    from ft_assets.registry.ledger import champion

    home = Home()
    if at is not None:
        if model is None:
            raise WrongInput("`--at` needs a model: ft-assets history MODEL --at TIME")
        rows = [{"model": model, "champion": champion(home, model, at.replace(tzinfo=UTC))}]
    else:
        rows = entries(home, model)
        if not as_json:
            rows = [_brief(row) for row in rows]
    print_rows(rows, as_json, "nothing was deployed yet")


def _brief(entry: dict[str, Any]) -> dict[str, Any]:
    """A ledger entry that fits a line: without the figures, of which its reason says what matters."""
    kept = {name: value for name, value in entry.items() if name != "details"}
    return {**kept, "at": entry["at"][:19]}


@click.command()
@click.argument("model")
@click.option("--to", help="A release, by any of its names, or `base` (default: the previous champion).")
@click.option("--by", default=getpass.getuser, show_default="your login name", help="Who decides.")
@click.option("--reason", default="rolled back by hand", show_default=True)
@as_json_option
def rollback(model: str, to: str | None, by: str, reason: str, as_json: bool) -> None:
    """Take a challenger or the champion of MODEL out of traffic within a second."""
    from ft_assets.registry.rollback import rollback as roll_back

    home = Home()
    roll_back(home, model, to, by, reason)
    from ft_assets.registry.ledger import champion

    now = {"model": model, "champion": champion(home, model)}
    print_rows([now], as_json, "")


@click.command()
@click.argument("name", metavar="MODEL@CANDIDATE")
@as_json_option
def reproduce(name: str, as_json: bool) -> None:
    """Train a released adapter again from its record alone, and compare the bytes."""
    from ft_assets.registry.reproduce import reproduce as rebuild

    made = rebuild(Home(), name, quiet=as_json)
    print_rows([{**vars(made), "equal": made.equal}], as_json, "")
    if not made.equal:
        raise Refused(
            f"{made.address} was not reproduced; another kind of processor, number of threads or version of "
            f"torch gives other bytes"
        )


@click.command()
@click.argument("name", metavar="MODEL@CANDIDATE")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder to make; it must not exist."
)
def export(name: str, out: Path) -> None:
    """Write a released adapter merged into its base: a model that transformers and vLLM load as it is."""
    from ft_assets.registry.export import export as write

    write(Home(), name, out)
    OUT.print(escape(f"{out}: safetensors, tokenizer, chat template, model card (README.md)"), soft_wrap=True)


@click.command()
@click.argument("name", metavar="MODEL@CANDIDATE")
@as_json_option
def verify(name: str, as_json: bool) -> None:
    """Check a candidate's signed receipt against every byte that it speaks of."""
    from ft_assets.registry.verify import verify as check

    checks = check(Home(), name)
    print_rows([vars(one) for one in checks], as_json, "")
    if wrong := [one.what for one in checks if not one.sound]:
        raise Refused(f"{name} is not what its receipt vouches for: {', '.join(wrong)}")


@click.command()
@click.argument("name", metavar="MODEL@CANDIDATE|ANSWER|ROW")
@as_json_option
def lineage(name: str, as_json: bool) -> None:
    """Tell what lies behind a release or a served answer, or what a row of data reached."""
    from ft_assets.registry.lineage import trace
    from ft_assets.registry.names import release_named
    from ft_assets.registry.reach import deployments, reach

    home = Home()
    if "@" in name:
        release = release_named(home, name)
        found: dict[str, Any] = {**release.lineage, **deployments(home, release)}
    elif re.fullmatch("[0-9a-f]{32}", name):
        found = reach(home, name)
    else:
        found = trace(home, name)
    print_tree(name, found, as_json)


@click.command()
@click.argument("before", metavar="MODEL@CANDIDATE")
@click.argument("after", metavar="MODEL@CANDIDATE")
@as_json_option
def diff(before: str, after: str, as_json: bool) -> None:
    """Tell what changed between two candidates: data, settings, scores and answers."""
    from ft_assets.registry.difference import difference

    print_tree(f"{before} to {after}", difference(Home(), before, after), as_json)


@click.command()
@click.option("--days", default=90, show_default=True, type=click.IntRange(0), help="Younger adapters stay.")
@click.option(
    "--champions", default=5, show_default=True, type=click.IntRange(1), help="Latest champions that stay."
)
@click.option("--yes", is_flag=True, help="Delete; without it, only say what would go.")
@as_json_option
def prune(days: int, champions: int, yes: bool, as_json: bool) -> None:
    """Delete old adapters that nothing serves and no rollback needs."""
    from ft_assets.registry import retention

    gone = (retention.prune if yes else retention.prunable)(Home(), days, champions)
    print_rows([vars(row) for row in gone], as_json, "nothing to delete")
    if gone and not (yes or as_json):
        OUT.print("nothing was deleted; `--yes` deletes these")


@click.command()
@click.option("--mlflow", "uri", required=True, help="URI of an MLflow registry; run again, it catches up.")
@as_json_option
def mirror(uri: str, as_json: bool) -> None:
    """Show every release, and who is champion, in an MLflow model registry too."""
    from ft_assets.registry.mirror import mirror as show

    print_rows([vars(row) for row in show(Home(), uri)], as_json, "nothing was released yet")


registry_commands = (history, rollback, verify, lineage, diff, reproduce, export, mirror, prune)
