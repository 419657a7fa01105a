"""Rows are counted as training will count them, and cut where the recipe says so."""

from pathlib import Path

import pytest

from ft_assets.bases.tiny_base import write_tiny_base
from ft_assets.curation.chat import encode_example
from ft_assets.curation.filters import judge
from ft_assets.curation.tokens import Tokenizer, open_tokenizer
from ft_assets.errors import WrongInput
from ft_assets.recipe_data import Curation
from ft_assets.sources.example import Example, Message, from_table, to_table
from ft_assets_tests.curation.rows import chat

_SYSTEM = Message(role="system", content="You are terse.")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_tiny_base(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Tokenizer:
    return open_tokenizer(base)


@pytest.mark.parametrize(
    "row",
    [
        chat("Who?", "It is Ann."),
        chat("Who?", "It is Ann.", "Sure?", "Quite sure, naïvely. 日本語 <|im_end|> 👍"),
        chat("def f(x):\n    return x", "Return x.").model_copy(
            update={"messages": (_SYSTEM, *chat("def f(x):\n    return x", "Return x.").messages)}
        ),
    ],
)
def test_a_count_is_what_transformers_counts(base: Path, tokenizer: Tokenizer, row: Example) -> None:
    from transformers import AutoTokenizer

    counted = len(encode_example(AutoTokenizer.from_pretrained(base), row.messages)[0])
    assert tokenizer.count(row.messages) == counted
    assert tokenizer.fits(row.messages, counted) and not tokenizer.fits(row.messages, counted - 1)


def judged(row: Example, tokenizer: Tokenizer, **settings: object) -> tuple[Example, str | None]:
    result = judge(to_table([row]).to_batches()[0], Curation.model_validate(settings), tokenizer)
    (found,) = from_table(result.batch)
    return found, result.reasons.to_pylist()[0]


def test_rows_over_the_limit_are_rejected_with_their_length(tokenizer: Tokenizer) -> None:
    row = chat("word " * 60, "It is surely Ann.")
    limit = tokenizer.count(row.messages)
    assert judged(row, tokenizer, max_tokens=limit) == (row, None)
    assert judged(row, tokenizer, max_tokens=limit - 1)[1] == "too_many_tokens"
    assert judged(row, tokenizer)[1] is None


def test_a_window_keeps_the_system_turns_and_the_last_exchanges(tokenizer: Tokenizer) -> None:
    turns = chat("word " * 60, "First answer.", "And then?", "Second answer.").messages
    row = Example(messages=(_SYSTEM, *turns), source="test", license="MIT", parents=("older",))
    limit = tokenizer.count((_SYSTEM, *turns[2:]))
    found, reason = judged(row, tokenizer, max_tokens=limit, overlong="window")
    assert (found.messages, reason) == ((_SYSTEM, *turns[2:]), None)
    assert found.parents == (row.id, "older") and found.id != row.id
    assert judged(row, tokenizer, max_tokens=limit - 1, overlong="window") == (row, "too_many_tokens")


def test_both_answers_of_a_preference_row_must_fit(tokenizer: Tokenizer) -> None:
    worse = Message(role="assistant", content="word " * 40)
    row = chat("Who is it?", "It is surely Ann.", rejected=worse)
    limit = tokenizer.count((row.messages[0], worse))
    assert judged(row, tokenizer, max_tokens=limit) == (row, None)
    assert judged(row, tokenizer, max_tokens=limit - 1)[1] == "too_many_tokens"


def test_a_window_of_thousands_of_turns_is_found_by_halves(tokenizer: Tokenizer) -> None:
    turns = chat(*(f"turn {number}" for number in range(3_000))).messages
    settings = {"overlong": "window", "max_prompt_chars": 100_000, "min_answer_chars": 1}
    found, reason = judged(
        Example(messages=turns, source="test", license="MIT"), tokenizer, max_tokens=400, **settings
    )
    assert reason is None and found.messages == turns[-len(found.messages) :]
    kept = len(found.messages)
    assert tokenizer.fits(found.messages, 400) and not tokenizer.fits(turns[-kept - 2 :], 400)


def test_what_the_template_refuses_is_rejected_with_its_words(base: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((base / name).read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('No system turns, please.') }}")
    rows = to_table([chat("Who?", "It is surely Ann.")]).to_batches()[0]
    result = judge(rows, Curation(max_tokens=100), open_tokenizer(tmp_path))
    assert result.reasons.to_pylist() == ["template_refused"]
    assert "No system turns, please." in result.details[0].as_py()


def test_a_template_cannot_reach_out_of_its_sandbox(base: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((base / name).read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(WrongInput, match="refuses these turns"):
        open_tokenizer(tmp_path).count(chat("Who?", "Ann.").messages)


def test_a_base_without_a_chat_template_or_a_tokenizer_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"tokenizer\.json: missing"):
        open_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes())
    with pytest.raises(WrongInput, match="no chat template"):
        open_tokenizer(tmp_path)
