"""The command line: documented, and clear about what went wrong."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ft_assets.cli import cli, main
from ft_assets.storage import sqlite
from ft_assets.storage.costs import record_cost
from ft_assets.storage.home import Home
from ft_assets_tests.storage.test_costs import expense

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FT_ASSETS = str(Path(sys.executable).parent / "ft-assets")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FT_ASSETS, *arguments], capture_output=True, text=True, timeout=120)


def test_every_command_and_option_is_documented() -> None:
    for name, command in cli.commands.items():
        assert f"`ft-assets {name}" in README, name
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help or parameter.show_default, f"{name} {parameter.opts}"


def test_every_command_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", README)) - {"on", "is"} <= targets
    assert set(re.findall(r"ft-assets ([a-z]+)", README)) <= set(cli.commands)


def test_every_file_that_the_readme_links_exists() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_sql_reads_the_records(home: Home) -> None:
    told = run("sql", "SELECT count(*) AS n FROM releases", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == [{"n": 0}]


def test_a_wrong_statement_is_wrong_input(home: Home) -> None:
    told = run("sql", "SELEKT 1")
    assert told.returncode == 2
    assert "SELEKT" in told.stderr


def test_a_database_that_does_not_answer_is_a_broken_environment(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FT_ASSETS_DATABASE_URL", raising=False)
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.1)
    monkeypatch.setattr(sys, "argv", ["ft-assets", "keys", "add", "ann", "--scope", "infer"])
    with Home().database.write(), pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 3
    assert "did not answer: database is locked; run the same command again" in capsys.readouterr().err


def test_doctor_finds_nothing_broken_here(home: Home) -> None:
    told = run("doctor", "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    assert {finding["state"] for finding in json.loads(told.stdout)} <= {"ok", "warning"}


def test_a_home_that_cannot_be_written_is_a_broken_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("FT_ASSETS_HOME", str(blocked / "home"))
    told = run("history")
    assert told.returncode == 3
    assert "FT_ASSETS_HOME" in told.stderr


def test_rolling_back_where_nothing_was_deployed_is_refused(home: Home) -> None:
    told = run("rollback", "docstrings")
    assert told.returncode == 1
    assert "docstrings was never deployed" in told.stderr


def test_costs_are_shown_with_their_sums(home: Home) -> None:
    assert "nothing was trained" in run("costs").stdout
    for attempt, stage in (("a", "training"), ("b", "evaluation"), ("c", "training")):
        record_cost(home, expense(attempt, stage=stage))
    told = run("costs", "tiny")
    assert told.returncode == 0, told.stderr
    for word in ("training", "evaluation", "20.0", "30.0", "0.03 EUR", "200"):
        assert word in told.stdout
    rows = json.loads(run("costs", "--json").stdout)
    assert [(row["stage"], row["attempts"], row["money"]) for row in rows] == [
        ("all", 3, {"EUR": 0.03}),
        ("all", 3, {"EUR": 0.03}),
        ("training", 2, {"EUR": 0.02}),
        ("evaluation", 1, {"EUR": 0.01}),
    ]
    assert json.loads(run("costs", "other", "--json").stdout) == []


def test_a_time_needs_a_model(home: Home) -> None:
    assert run("history", "--at", "2026-01-01").returncode == 2
