"""Recall and precision on the labelled set do not fall below what docs/pii.md says."""

from functools import cache
from pathlib import Path

import pytest

from benchmarks.pii import finds_in_code, score
from benchmarks.pii_set import labelled
from ft_assets.curation.redaction import RECOGNISERS, find

# Numbers that nothing in their form tells from others, so a sentence must say what they are.
_NEED_A_WORD = {
    "AU_ABN": 0.75,
    "AU_MEDICARE": 0.5,
    "AU_TFN": 0.55,
    "CA_SIN": 0.75,
    "DE_TAX_ID": 0.9,
    "IN_AADHAAR": 0.85,
    "MEDICAL_LICENSE": 0.65,
    "PL_PESEL": 0.7,
    "UK_NHS": 0.75,
    "US_PASSPORT": 0.7,
}
# What is taken for a telephone number and is another number of a person: it is replaced all the same.
_PRECISION = {"PHONE": 0.6}
_TYPES = sorted({each.type for each in RECOGNISERS})


@cache
def _score() -> dict:
    return score(labelled(), find)


def test_the_set_is_large_enough_to_say_something() -> None:
    types = _score()["types"]
    assert sum(type["entities"] for type in types.values()) >= 500
    assert {name for name, type in types.items() if type["entities"] >= 20} == set(_TYPES)
    assert sum(each.kind == "negative" for each in labelled()) >= 400


@pytest.mark.parametrize("type", _TYPES)
def test_recall_and_precision_stay(type: str) -> None:
    found = _score()["types"][type]
    assert found["recall"] >= _NEED_A_WORD.get(type, 1.0)
    assert found["precision"] >= _PRECISION.get(type, 1.0)


def test_nothing_else_is_replaced() -> None:
    assert _score()["false_alarms"] == 0


@pytest.mark.parametrize("type", _TYPES)
def test_the_docs_say_what_is_measured(type: str) -> None:
    found = _score()["types"][type]
    line = f"| {type} | {found['entities']} | " + " | ".join(
        f"{found[share]:.3f}" for share in ("recall", "precision", "replaced")
    )
    assert line in Path("docs/pii.md").read_text()


def test_code_of_the_standard_library_stays() -> None:
    """One address is in it, in a comment of the e-mail parser."""
    found = finds_in_code(find)
    assert found["functions"] == 1_000
    assert found["finds"] <= 3
