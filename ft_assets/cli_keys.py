"""The commands for API keys of the service."""

import click

from ft_assets.cli_output import as_json_option, print_rows
from ft_assets.storage.home import Home


@click.group()
def keys() -> None:
    """Make, list and revoke API keys of the service."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=("infer", "feedback"),
    show_default=True,
    help="What its holder may do: infer, feedback, admin. Give it several times for several.",
)
@click.option("--per-minute", type=click.IntRange(1), help="Requests a minute (default: no limit).")
@as_json_option
def add(name: str, scopes: tuple[str, ...], per_minute: int | None, as_json: bool) -> None:
    """Make a key for NAME and print it, this once: only its hash is kept."""
    from ft_assets.serving.keys import add_key

    key_id, key = add_key(Home(), name, scopes, per_minute)
    print_rows([{"id": key_id, "key": key}], as_json, "")


@keys.command("list")
@as_json_option
def list_(as_json: bool) -> None:
    """List keys: what they may do, and whether they were revoked."""
    from ft_assets.serving.keys import list_keys

    print_rows(list_keys(Home()), as_json, "there are no keys; only loopback is answered")


@keys.command()
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Revoke a key; running servers refuse it within a second."""
    from ft_assets.serving.keys import revoke_key

    revoke_key(Home(), key_id)
