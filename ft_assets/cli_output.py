"""How commands speak: tables and trees for people, JSON for programs."""

import json
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

OUT = Console()
ERR = Console(stderr=True)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def print_rows(rows: list[dict[str, Any]], as_json: bool, empty: str) -> None:
    """A table of equal rows; `empty` is said where there is none."""
    if as_json:
        click.echo(json.dumps(rows, default=str, indent=2))
        return
    if not rows:
        OUT.print(empty)
        return
    table = Table(*rows[0], show_edge=False)
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    OUT.print(table)


def print_tree(title: str, content: dict[str, Any], as_json: bool) -> None:
    """Nested facts: mappings and lists become branches."""
    if as_json:
        click.echo(json.dumps(content, default=str, indent=2))
        return
    tree = Tree(escape(title))
    _grow(tree, content)
    OUT.print(tree)


def _grow(tree: Tree, content: dict[str, Any] | list[Any]) -> None:
    pairs = content.items() if isinstance(content, dict) else enumerate(content, start=1)
    for name, value in pairs:
        if isinstance(value, dict | list) and value:
            _grow(tree.add(f"[bold]{escape(str(name))}[/]"), value)
        else:
            tree.add(f"[bold]{escape(str(name))}[/] {escape(_plain(value))}")


def _plain(value: Any) -> str:
    return "none" if value is None or value in ([], {}) else str(value)
