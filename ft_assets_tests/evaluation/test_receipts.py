"""A receipt proves what was judged; any change of it is noticed."""

import dataclasses
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ft_assets.errors import Refused
from ft_assets.evaluation.receipts import Receipt, find_receipt, issue_receipt, verify_receipt
from ft_assets.storage.home import Home
from ft_assets.storage.tables import receipts

BODY: dict[str, Any] = {
    "model": "tiny",
    "candidate": "20261121T1005-ab12cd34",
    "adapter_digest": "a" * 64,
    "base_digest": "b" * 64,
    "dataset_digest": "c" * 64,
    "eval_digest": "d" * 64,
    "report_digest": "e" * 64,
    "recipe_digest": "f" * 64,
    "code_digest": "0" * 64,
    "verdict": "pass",
    "reasons": ["the loss fell — by 1.06"],
    "scores": {"base": {"loss": 3.9}, "incumbent": None, "candidate": {"loss": 2.84}},
    "contamination": {"checked": 48, "found": 0},
}


def test_a_receipt_is_found_and_verified(home: Home) -> None:
    issued = issue_receipt(home, BODY)
    found = find_receipt(home, "tiny", BODY["candidate"])
    assert found == issued
    verify_receipt(home, issued)
    assert {name: issued.body[name] for name in BODY} == BODY
    assert find_receipt(home, "tiny", "another") is None


def test_the_same_verdict_again_is_the_same_receipt_and_another_is_the_latest(home: Home) -> None:
    first = issue_receipt(home, BODY)
    assert issue_receipt(home, dict(reversed(BODY.items()))) == first
    second = issue_receipt(home, {**BODY, "verdict": "fail"})
    assert find_receipt(home, "tiny", BODY["candidate"]) == second
    assert issue_receipt(home, BODY).id != first.id  # it is the latest that counts


@pytest.mark.parametrize("field", sorted([*BODY, "issued_at"]))
def test_a_change_of_any_field_is_noticed(home: Home, field: str) -> None:
    receipt = issue_receipt(home, BODY)
    body = receipt.body
    body[field] = "pass " if body[field] == "pass" else "changed"
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    with pytest.raises(Refused, match="signature"):
        verify_receipt(home, dataclasses.replace(receipt, text=text))


def test_a_change_of_any_byte_is_noticed(home: Home) -> None:
    receipt = issue_receipt(home, BODY)
    for at in range(0, len(receipt.text), 7):
        letter = "x" if receipt.text[at] != "x" else "y"
        text = receipt.text[:at] + letter + receipt.text[at + 1 :]
        with pytest.raises(Refused):
            verify_receipt(home, dataclasses.replace(receipt, text=text))


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "fail"},
        {"model": "other"},
        {"candidate": "other"},
        {"id": "0" * 64},
        {"signature": "00" * 64},
        {"signature": "not hex"},
    ],
)
def test_a_change_of_the_row_around_the_text_is_noticed(home: Home, change: dict[str, str]) -> None:
    receipt = issue_receipt(home, BODY)
    with pytest.raises(Refused):
        verify_receipt(home, dataclasses.replace(receipt, **change))
    with pytest.raises(Refused):
        verify_receipt(home, dataclasses.replace(receipt, issued_at=receipt.issued_at + timedelta(seconds=1)))


def test_a_receipt_that_was_changed_in_the_database_is_noticed_and_not_reused(home: Home) -> None:
    issued = issue_receipt(home, {**BODY, "verdict": "fail"})
    forged = issued.text.replace('"verdict":"fail"', '"verdict":"pass"')
    with home.database.write() as connection:
        connection.execute(sa.update(receipts).values(body=forged, verdict="pass"))
    found = find_receipt(home, "tiny", BODY["candidate"])
    assert isinstance(found, Receipt)
    with pytest.raises(Refused, match="signature"):
        verify_receipt(home, found)
    again = issue_receipt(home, {**BODY, "verdict": "pass"})
    verify_receipt(home, again)


def test_another_installations_receipt_is_refused_by_name_of_the_cause(home: Home, tmp_path: Path) -> None:
    stranger = issue_receipt(Home(tmp_path / "other"), BODY)
    with pytest.raises(Refused, match="another key"):
        verify_receipt(home, stranger)
