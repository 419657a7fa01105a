"""`python -m benchmarks`."""

import importlib
import sys

import pytest

from benchmarks import __main__


@pytest.mark.parametrize("name", __main__.BENCHMARKS)
def test_every_name_is_a_module_that_measures(name: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{name}").measure)


def test_unknown_name_is_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "curation", "speed"])
    with pytest.raises(SystemExit, match="no benchmark speed; there are: definitions, curation"):
        __main__.main()
