"""`ft-assets`: what people type.

Exit codes: 0 done, 1 refused by a gate or a check, 2 wrong input, 3 broken environment. `--json` prints for programs.
"""

import getpass
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ft_assets.errors import FtAssetsError, Refused, WrongInput
from ft_assets.recipe import Recipe, load_recipe, load_recipes
from ft_assets.recipe_data import RowFormat
from ft_assets.storage.home import Home

if TYPE_CHECKING:
    from ft_assets.curate_files import Outcome

_OUT = Console()
_ERR = Console(stderr=True)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def main() -> None:
    """Entry point: turns our errors into a message and an exit code."""
    try:
        cli.main(standalone_mode=False)
    except FtAssetsError as error:
        _ERR.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _ERR.print("stopped; the same command goes on from here")
        sys.exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Turn examples into a better model, safely and repeatably."""


@cli.command()
@click.option("--tiny", is_flag=True, help="A tiny random base: the same loop in seconds, for tests.")
@click.option("--leak", is_flag=True, help="Slip eval rows into training, and see what the gate says.")
@_as_json
def demo(tiny: bool, leak: bool, as_json: bool) -> None:
    """Run the whole loop on real data: train, gate, serve, canary, feedback, and once more."""
    from ft_assets.demo.run import run_demo

    sys.exit(run_demo(Home(), tiny=tiny, leak=leak, as_json=as_json))


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder to make; it must not exist."
)
@click.option("--recipe", help="Name of a model, or path of a YAML recipe (default: the default settings).")
@click.option(
    "--format",
    "row_format",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", *get_args(RowFormat)]),
    help="Shape of the rows; `auto` reads each by its fields.",
)
@click.option(
    "--license", default="LicenseRef-unknown", show_default=True, help="SPDX id of rows that name none."
)
@_as_json
def curate(
    files: tuple[str, ...], out: Path, recipe: str | None, row_format: Any, license: str, as_json: bool
) -> None:
    """Clean, deduplicate and split data files (JSONL, JSON, Parquet, CSV), outside any model."""
    from ft_assets.curate_files import curate_files

    outcome = curate_files(Home(), files, out, recipe, row_format, license)
    if as_json:
        click.echo(json.dumps(outcome.as_json(), indent=2))
    else:
        _print_curated(outcome, out)
    if outcome.refused:
        sys.exit(1)


@cli.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Beyond loopback, API keys are required."
)
@click.option("--port", default=3100, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--model", help="Serve the base of this model's recipe (needed when recipes name several bases)."
)
def serve(host: str, port: int, model: str | None) -> None:
    """Serve every released model of one base with an OpenAI-compatible API."""
    from ft_assets.bases.base_models import prepare_base
    from ft_assets.serving.launch import serve as run_service

    home = Home()
    base_digest, _ = prepare_base(home, _one_base(model).base)
    run_service(home, base_digest, host, port)


@cli.command()
@click.argument("model", required=False)
@click.option("--at", type=click.DateTime(), help="Say only what served at this time (UTC).")
@_as_json
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
    _print_rows(rows, as_json, "nothing was deployed yet")


@cli.command()
@click.argument("model")
@click.option(
    "--to", "address", help="Address of the release to go back to (default: the previous champion)."
)
@click.option("--by", default=getpass.getuser, show_default="your login name", help="Who decides.")
@click.option("--reason", default="rolled back by hand", show_default=True)
@_as_json
def rollback(model: str, address: str | None, by: str, reason: str, as_json: bool) -> None:
    """Take a challenger or the champion of MODEL out of traffic within a second."""
    from ft_assets.registry.rollback import rollback as roll_back

    home = Home()
    roll_back(home, model, address, by, reason)
    from ft_assets.registry.ledger import champion

    now = {"model": model, "champion": champion(home, model)}
    _print_rows([now], as_json, "")


@cli.command()
@click.argument("model", required=False)
@_as_json
def costs(model: str | None, as_json: bool) -> None:
    """Sum up what each stage of each candidate took: device-seconds, tokens, energy and money."""
    from ft_assets.storage.costs import table_of

    rows = table_of(Home(), model)
    if as_json or not rows:
        _print_rows(rows, as_json, "nothing was trained or evaluated yet")
    else:
        _print_costs(rows)


@cli.command()
@click.argument("address", metavar="MODEL@DIGEST")
@_as_json
def reproduce(address: str, as_json: bool) -> None:
    """Train a released adapter again from its record alone, and compare the bytes."""
    from ft_assets.registry.reproduce import reproduce as rebuild

    made = rebuild(Home(), address, quiet=as_json)
    _print_rows([{**vars(made), "equal": made.equal}], as_json, "")
    if not made.equal:
        raise Refused(
            f"{address} was not reproduced; another kind of processor, number of threads or version of torch gives "
            f"other bytes"
        )


@cli.command()
@click.argument("address", metavar="MODEL@DIGEST")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder to make; it must not exist."
)
def export(address: str, out: Path) -> None:
    """Write a released adapter merged into its base: a model that transformers and vLLM load as it is."""
    from ft_assets.registry.export import export as write

    write(Home(), address, out)
    _OUT.print(
        escape(f"{out}: safetensors, tokenizer, chat template, model card (README.md)"), soft_wrap=True
    )


@cli.command()
@_as_json
def doctor(as_json: bool) -> None:
    """Check what the machine should provide, and say how to mend what is missing."""
    from ft_assets.doctor import examine

    findings = examine(Home(), load_recipes())
    _print_rows([vars(finding) for finding in findings], as_json, "")
    if any(finding.state == "broken" for finding in findings):
        sys.exit(3)


@cli.command()
@click.argument("statement")
@_as_json
def sql(statement: str, as_json: bool) -> None:
    """Ask DuckDB about the records and the rows of every asset."""
    from ft_assets.storage.sql import query

    _print_rows(query(Home(), statement).to_pylist(), as_json, "no rows")


@cli.command()
def recipe() -> None:
    """Print the recipe reference (docs/recipe.md)."""
    from ft_assets.recipe_reference import reference

    click.echo(reference())


def _print_curated(outcome: "Outcome", out: Path) -> None:
    summary = outcome.summary
    for file, shapes in outcome.shapes.items():
        read_as = (
            ", ".join(f"{rows} rows as {shape}" for shape, rows in shapes.items()) or "no row could be read"
        )
        _OUT.print(escape(f"{file}: {read_as}"), soft_wrap=True)
    _OUT.print(f"[bold]{summary.curated} of {summary.rows_in} rows kept[/], in {outcome.clusters} clusters")
    table = Table("what", "which", "rows", show_edge=False)
    told = {"rejected": summary.rejected, "replaced": summary.pii, "side": outcome.sides}
    for what, counts in told.items():
        for which, rows in counts.items():
            table.add_row(what, escape(which), str(rows))
    _OUT.print(table)
    _OUT.print(
        escape(f"{out}: curated.parquet, rejected.parquet, a file for each side, card.md"), soft_wrap=True
    )
    if outcome.refused:
        _ERR.print(
            f"[bold red]refused:[/] {summary.reject_share:.1%} of the rows were rejected"
            f"{', more than `curation.max_reject_share` allows' if summary.curated else ''}; "
            "rejected.parquet says why for each",
            soft_wrap=True,
        )


def _one_base(model: str | None) -> Recipe:
    if model is not None:
        return load_recipe(model)
    recipes = load_recipes()
    if len({item.base.model_dump_json() for item in recipes}) != 1:
        names = ", ".join(item.model for item in recipes)
        raise WrongInput(f"the recipes ({names}) name several bases; choose one by `--model`")
    return recipes[0]


def _print_costs(rows: list[dict[str, Any]]) -> None:
    from ft_assets.storage.costs import show_money

    table = Table("model, candidate, stage", box=None)
    for heading in ("attempts", "device-seconds", "tokens", "Wh", "money"):
        table.add_column(heading, justify="right")
    for row in rows:
        # Sums come before what they are the sums of, which is set in.
        name = "    " + row["stage"] if row["stage"] != "all" else "  " + row["candidate"]
        energy = "" if row["watt_hours"] is None else f"{row['watt_hours']:.3g}"
        table.add_row(
            row["model"] if row["candidate"] == "all" else name,
            *(str(row[figure]) for figure in ("attempts", "device_seconds", "tokens")),
            energy,
            " + ".join(show_money(amount, currency) for currency, amount in row["money"].items()),
        )
    _OUT.print(table)


def _print_rows(rows: list[dict[str, Any]], as_json: bool, empty: str) -> None:
    if as_json:
        click.echo(json.dumps(rows, default=str, indent=2))
        return
    if not rows:
        _OUT.print(empty)
        return
    table = Table(*rows[0], show_edge=False)
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    _OUT.print(table)
