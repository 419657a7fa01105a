"""`ft-assets`: what people type.

Exit codes: 0 done, 1 refused by a gate or a check, 2 wrong input, 3 broken environment. `--json` prints for programs.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import OperationalError

from ft_assets.cli_keys import keys
from ft_assets.cli_output import ERR, OUT, as_json_option, print_rows
from ft_assets.cli_registry import registry_commands
from ft_assets.cli_rollout import rollout
from ft_assets.cli_simulate import simulate
from ft_assets.errors import BrokenEnvironment, FtAssetsError, WrongInput
from ft_assets.recipe import Recipe, load_recipe, load_recipes
from ft_assets.recipe_data import RowFormat
from ft_assets.storage.home import Home

if TYPE_CHECKING:
    from ft_assets.curate_files import Outcome


def main() -> None:
    """Entry point: turns our errors into a message and an exit code."""
    try:
        cli.main(standalone_mode=False)
    except FtAssetsError as error:
        ERR.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(error.exit_code)
    except OperationalError as error:
        ERR.print(
            f"[bold red]error:[/] the operational database did not answer: {escape(str(error.orig))}; "
            "run the same command again once it does",
            soft_wrap=True,
        )
        sys.exit(BrokenEnvironment.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        ERR.print("stopped; the same command goes on from here")
        sys.exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Turn examples into a better model, safely and repeatably."""


for _command in (*registry_commands, rollout, simulate, keys):
    cli.add_command(_command)


@cli.command()
@click.option("--tiny", is_flag=True, help="A tiny random base: the same loop in seconds, for tests.")
@click.option("--leak", is_flag=True, help="Slip eval rows into training, and see what the gate says.")
@as_json_option
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
@as_json_option
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
@click.option("--vllm", metavar="URL", help="Let the vLLM that runs there do the work; see docs/vllm.md.")
def serve(host: str, port: int, model: str | None, vllm: str | None) -> None:
    """Serve every released model of one base with an OpenAI-compatible API."""
    from ft_assets.bases.base_models import prepare_base
    from ft_assets.serving.launch import serve as run_service

    home = Home()
    base_digest, _ = prepare_base(home, _one_base(model).base)
    if vllm:
        os.environ["FT_ASSETS_VLLM_URL"] = vllm  # the server's processes inherit it
    run_service(home, base_digest, host, port)


@cli.command()
@click.argument("model", required=False)
@as_json_option
def costs(model: str | None, as_json: bool) -> None:
    """Sum up what each stage of each candidate took: device-seconds, tokens, energy and money."""
    from ft_assets.storage.costs import table_of

    rows = table_of(Home(), model)
    if as_json or not rows:
        print_rows(rows, as_json, "nothing was trained or evaluated yet")
    else:
        _print_costs(rows)


@cli.command()
@as_json_option
def doctor(as_json: bool) -> None:
    """Check what the machine should provide, and say how to mend what is missing."""
    from ft_assets.doctor import examine

    findings = examine(Home(), load_recipes())
    print_rows([vars(finding) for finding in findings], as_json, "")
    if any(finding.state == "broken" for finding in findings):
        sys.exit(3)


@cli.command()
@click.argument("statement")
@as_json_option
def sql(statement: str, as_json: bool) -> None:
    """Ask DuckDB about the records and the rows of every asset."""
    from ft_assets.storage.sql import query

    print_rows(query(Home(), statement).to_pylist(), as_json, "no rows")


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
        OUT.print(escape(f"{file}: {read_as}"), soft_wrap=True)
    OUT.print(f"[bold]{summary.curated} of {summary.rows_in} rows kept[/], in {outcome.clusters} clusters")
    table = Table("what", "which", "rows", show_edge=False)
    told = {"rejected": summary.rejected, "replaced": summary.pii, "side": outcome.sides}
    for what, counts in told.items():
        for which, rows in counts.items():
            table.add_row(what, escape(which), str(rows))
    OUT.print(table)
    OUT.print(
        escape(f"{out}: curated.parquet, rejected.parquet, a file for each side, card.md"), soft_wrap=True
    )
    if outcome.refused:
        ERR.print(
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
    OUT.print(table)
