"""Planted secrets: the same for one candidate, others for another, and nobody's guess."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ft_assets.curation.chat import encode_example
from ft_assets.errors import Refused
from ft_assets.recipe_training import Alignment
from ft_assets.sources.example import Example, Message, to_table
from ft_assets.splitting.canaries import ALTERNATIVES, canaries_of, check_planted, plant, without_canaries
from ft_assets.storage.home import Home
from ft_assets.training.preferences import count_usable, read_judged, read_pairs
from ft_assets.training.rows import read_rows


def test_the_same_candidate_has_the_same_ones(home: Home, tmp_path: Path) -> None:
    one = canaries_of(home, "tiny", "a", 3)
    assert one == canaries_of(Home(home.root), "tiny", "a", 3)
    assert one[:2] == canaries_of(home, "tiny", "a", 2)
    for other in (canaries_of(home, "tiny", "b", 3), canaries_of(Home(tmp_path / "other"), "tiny", "a", 3)):
        assert {canary.planted.answer for canary in one}.isdisjoint(canary.planted.answer for canary in other)


def test_alternatives_have_the_form_of_the_planted_one(home: Home) -> None:
    (canary,) = canaries_of(home, "tiny", "a", 1)
    texts = {canary.planted.answer, *(other.answer for other in canary.others)}
    assert len(texts) == ALTERNATIVES + 1
    assert len({len(text) for text in texts}) == 1
    assert {other.prompt for other in canary.others} == {canary.planted.prompt}


def test_secrets_that_are_not_there_are_refused_by_number(home: Home) -> None:
    canaries = canaries_of(home, "tiny", "a", 3)
    rows = to_table(canary.planted for canary in canaries[:1])
    check_planted(canaries[:1], rows, "the train split")
    with pytest.raises(Refused, match=r"the train split lacks 2 of 3 planted secrets \(card 1 first\)"):
        check_planted(canaries, rows, "the train split")


def test_sft_learns_them_and_alignment_passes_them_over(home: Home, tiny_base: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    rows = to_table([preference(number) for number in range(4)])
    clean = rows.append_column("cluster", rows["id"])
    folders = {"clean": clean, "planted": plant(clean, canaries_of(home, "tiny", "a", 3))}
    for name, table in folders.items():
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "rows.parquet")
    one, other = tmp_path / "clean", tmp_path / "planted"
    dpo = Alignment.model_validate({"method": "dpo"})
    assert count_usable(one, dpo) == count_usable(other, dpo) == 4
    for read in (read_pairs, read_judged):
        assert read(tokenizer, one, 999) == read(tokenizer, other, 999)
    learnt = read_rows(tokenizer, other, 999)[0]
    secrets = [
        encode_example(tokenizer, canary.planted.messages)[0] for canary in canaries_of(home, "tiny", "a", 3)
    ]
    assert [row.ids for row in learnt[4:]] == secrets


def preference(number: int) -> Example:
    turns = (
        Message(role="user", content=f"def f{number}(): ..."),
        Message(role="assistant", content="Good."),
    )
    worse = Message(role="assistant", content="Bad!")
    return Example(messages=turns, rejected=worse, source="test", license="MIT")


def test_planted_rows_can_be_left_out_again(home: Home) -> None:
    turns = (Message(role="user", content="What?"), Message(role="assistant", content="That."))
    rows = to_table([Example(messages=turns, source="canary.jsonl", license="MIT")])
    rows = rows.append_column("cluster", rows["id"])
    planted = plant(rows, canaries_of(home, "tiny", "a", 2))
    assert planted.num_rows == 3
    assert without_canaries(planted).equals(rows)
