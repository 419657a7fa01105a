"""Docstrings are read from packages that are never imported."""

import ast
import itertools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ft_assets.errors import WrongInput
from ft_assets.sources.docstrings import PROMPT, docstrings_stamp, function_examples, read_docstrings
from ft_assets.sources.example import Example, to_table

_MODULE = '''
"""Module docstring."""
raise RuntimeError("imported")

def plain(a):
    """Add one.

    At length.
    """

    return a + 1  # keep me

def bare():
    """Do nothing."""

def single(): """Say é.""" ; return 1

def silent():
    return 2

def blank():
    """   """

class Thing:
    @property
    async def name(self):
        r"""Give the \\d name."""
        def inner():
            """Never an example."""
        return inner

    if True:
        def guarded(self):
            """Stand in a block."""
            return """
"""
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "planted_pkg"
    (folder / "sub").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "module.py").write_text(_MODULE)
    (folder / "sub" / "broken.py").write_text("def f(:\n")
    (folder / "sub" / "latin.py").write_bytes(
        "# -*- coding: latin-1 -*-\ndef é():\n    'Say ß.'\n".encode("latin-1")
    )
    (folder / "sub" / "not_text.py").write_bytes(b"\xff\xfe\x00\x00")
    (folder / "sub" / "nul.py").write_bytes(b"def f():\n    'A NUL.'\n\0")
    deep = "if a: pass\n" + "elif a: pass\n" * 5_000 + "def g():\n    'Too deep.'\n"
    (folder / "sub" / "deep.py").write_text(deep)
    (folder / "sub" / "half.py").write_text("def f():\n    'Half \\ud83d of it.'\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def _by_name(examples: list[Example]) -> dict[str, Example]:
    return {example.source.rsplit(".", 1)[-1]: example for example in examples}


def test_every_documented_function_is_an_example_without_its_docstring(package: Path) -> None:
    found = _by_name(list(function_examples("planted_pkg")))
    assert found.keys() == {"plain", "bare", "single", "name", "guarded", "é", "f"}
    assert found["plain"].prompt == PROMPT + "def plain(a):\n    return a + 1  # keep me"
    assert found["plain"].answer == "Add one."
    assert found["bare"].prompt == PROMPT + "def bare():\n    ..."
    assert found["single"].prompt == PROMPT + "def single():\n    return 1"
    assert found["name"].prompt.startswith(PROMPT + "@property\nasync def name(self):\n")
    assert found["name"].source == "python:planted_pkg.module.Thing.name"
    assert found["f"].answer == "Half ? of it."
    assert {example.slice for example in found.values()} == {"planted_pkg"}


def test_rows_can_be_stored(package: Path) -> None:
    assert to_table(function_examples("planted_pkg")).num_rows == 7


def test_reading_imports_nothing() -> None:
    program = (
        "import sys; from ft_assets.sources.docstrings import read_docstrings\n"
        "rows = list(read_docstrings(['turtle', 'mailbox', 'torch'], 'x', 30))\n"
        "assert len(rows) == 30 and not {'turtle', 'mailbox', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_prompts_are_valid_python_that_no_longer_holds_the_docstring() -> None:
    for example in itertools.islice(function_examples("email"), 100):
        tree = ast.parse(example.prompt.removeprefix(PROMPT))
        assert isinstance(tree.body[0], ast.FunctionDef | ast.AsyncFunctionDef)
        assert ast.get_docstring(tree.body[0]) is None


def test_rows_are_spread_evenly_and_always_the_same() -> None:
    packages = ["json", "textwrap", "email"]
    rows = list(read_docstrings(packages, "PSF-2.0", 24))
    assert Counter(row.slice for row in rows) == dict.fromkeys(packages, 8)
    assert rows == list(read_docstrings(packages, "PSF-2.0", 24))
    assert len({row.source.rsplit(".", 2)[0] for row in rows if row.slice == "email"}) >= 3


def test_a_package_with_few_functions_leaves_its_share_to_others() -> None:
    rows = list(read_docstrings(["string", "email"], "PSF-2.0", 40))
    assert len(rows) == 40


@pytest.mark.parametrize("name", ["no_such_package", "json.decoder", "", "math", "_json", "../etc"])
def test_a_package_that_cannot_be_read_is_named(name: str) -> None:
    with pytest.raises(WrongInput, match=r"python_docstrings: .*sources: packages:"):
        list(read_docstrings(["json", name], "PSF-2.0", 3))


def test_the_stamp_changes_with_the_files(package: Path) -> None:
    before = docstrings_stamp(["planted_pkg"])
    assert before == docstrings_stamp(["planted_pkg"])
    os.utime(package / "module.py", (1, 1))
    assert docstrings_stamp(["planted_pkg"]) != before
