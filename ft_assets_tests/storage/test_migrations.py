"""A database of an older version is brought up to date, with what it says."""

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from ft_assets.storage.home import Home
from ft_assets.storage.tables import interactions

ROW: dict[str, Any] = {"model": "m", "address": "base", "messages": [], "answer": "An", "slice": "default"}
ROW |= {"prompt_tokens": 1, "answer_tokens": 1, "latency_ms": 1.0, "created_at": datetime.now(UTC)}
ERRORS = {"cut": "the client closed the connection", "broken": "the engine has failed", "whole": None}


@pytest.fixture
def older(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An installation of the version before answers could be cut off, with a row of each kind."""
    upgrade = command.upgrade
    old = sa.table("interactions", *(sa.column(each.name, each.type) for each in interactions.c))
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, _: upgrade(config, "0005"))
        home.database  # noqa: B018
    with home.database.write() as connection:
        for name, error in ERRORS.items():
            connection.execute(sa.insert(old).values(inference_id=name, error=error, **ROW))
    return home


def test_answers_whose_client_left_were_cut_off_and_did_not_fail(older: Home) -> None:
    rows = Home(older.root).database.rows(sa.select(interactions))
    assert {row["inference_id"]: (row["cancelled"], row["error"]) for row in rows} == {
        "cut": (True, None),
        "broken": (False, ERRORS["broken"]),
        "whole": (False, None),
    }
