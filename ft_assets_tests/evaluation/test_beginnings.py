"""What is known of a prompt's beginning changes the time of its answer, and nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: TID253
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ft_assets.evaluation.beginnings import SHORTEST, Beginning, Beginnings, common
from ft_assets.evaluation.generation import Engine, Request

SYSTEM = "You write the one-line docstring of a function, in house style, and nothing else."
OTHER = "You are a pirate; answer every question in rhyme, however dull it may be."
TEXTS = ["def f(a): return a", "def g(b, c): return b * c", "def f(a): return None", "x", ""]


def ask(text: str, adapter: str | None, system: str = SYSTEM) -> Request:
    turns = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return Request(turns, adapter, 6, logprobs=1)


@contextmanager
def count_tokens(engine: Engine) -> Iterator[list[int]]:
    """How many tokens each pass over prompts reads, in their order."""
    read: list[int] = []

    def note(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        if "row_lengths" in kwargs:
            read.append(sum(kwargs["row_lengths"]))

    hook = engine._model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield read
    finally:
        hook.remove()


def answers(engine: Engine, asked: Sequence[Request], reuse: bool) -> list[list[tuple[int, float]]]:
    """Of each request the ids and their probabilities' logarithms, asked together."""
    decoding, found = engine.start(reuse), [[] for _ in asked]
    for index, request in enumerate(asked):
        decoding.join(index, request)
    while step := decoding.step():
        for token in step:
            assert token.odds is not None
            found[token.request_index].append(token.odds[0])
    return found


def same(found: list[list[tuple[int, float]]], wanted: list[list[tuple[int, float]]]) -> bool:
    (ids, odds), (others, other_odds) = (
        ([token for row in each for token, _ in row], [odd for row in each for _, odd in row])
        for each in (found, wanted)
    )
    return ids == others and odds == pytest.approx(other_odds, abs=1e-4)


REQUESTS = st.builds(
    ask, st.sampled_from(TEXTS), st.sampled_from([None, "one", "two"]), st.sampled_from([SYSTEM, OTHER, "s"])
)


@given(st.lists(st.lists(REQUESTS, min_size=1, max_size=4), min_size=1, max_size=4))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_answer_depends_on_what_was_asked_before(engine: Engine, asked: list[list[Request]]) -> None:
    for together in asked:
        assert same(answers(engine, together, reuse=True), answers(engine, together, reuse=False))


def test_a_beginning_is_read_twice_and_then_no_more(tiny_base: Path) -> None:
    engine = Engine.load(tiny_base, "cpu")
    with count_tokens(engine) as read:
        for text in TEXTS[:4]:
            answers(engine, [ask(text, None)], reuse=True)
    whole, second, third, fourth = read
    assert abs(second - whole) < len(TEXTS[1]), "the second prompt is what tells that they begin alike"
    assert third < whole / 2 and fourth < whole / 2


def test_those_who_judge_read_every_prompt_whole(tiny_base: Path) -> None:
    engine = Engine.load(tiny_base, "cpu")
    answers(engine, [ask(text, None) for text in TEXTS], reuse=True)
    with count_tokens(engine) as read:
        engine.generate([ask(TEXTS[0], None)])
        answers(engine, [ask(TEXTS[0], None)], reuse=True)
    judged, served = read
    assert served < judged / 2


def test_prompts_that_begin_in_two_ways_each_go_on_from_their_own(tiny_base: Path) -> None:
    engine = Engine.load(tiny_base, "cpu")
    mixed = [ask(text, None, system) for text in TEXTS for system in (SYSTEM, OTHER)]
    for _ in range(2):
        for request in mixed:
            answers(engine, [request], reuse=True)
    with count_tokens(engine) as read:
        found = answers(engine, mixed, reuse=True)
    assert len(read) == 1, "one pass, whatever a prompt begins with"
    assert read[0] < len(mixed) * SHORTEST * 2, "each goes on from what it begins with"
    assert same(found, answers(engine, mixed, reuse=False))


def test_whoever_comes_first_keeps_no_other_beginning_out(tiny_base: Path) -> None:
    engine = Engine.load(tiny_base, "cpu")
    for number in range(3):
        stranger = Request([], None, 6, logprobs=1, prompt_ids=[3 + number] * (SHORTEST - 1))
        mixed = [stranger, *(ask(text, None, system) for system in (SYSTEM, OTHER) for text in TEXTS[:2])]
        with count_tokens(engine) as read:
            found = answers(engine, mixed, reuse=True)
    assert read[0] < len(mixed) * SHORTEST * 2, "all that begin alike go on from there"
    assert same(found, answers(engine, mixed, reuse=False))


def test_an_adapter_dropped_takes_its_beginnings_along(
    tiny_base: Path, tiny_adapters: dict[str, Path]
) -> None:
    engine, asked = Engine.load(tiny_base, "cpu"), [ask(text, "name") for text in TEXTS]
    said = []
    for folder in tiny_adapters.values():
        engine.add_adapter("name", folder)
        said.append([answers(engine, asked, reuse=True) for _ in range(2)][-1])
        assert same(said[-1], answers(engine, asked, reuse=False))
        engine.drop_adapter("name")
    assert not same(*said), "the adapters must differ, else this shows nothing"


def made(ids: Sequence[int]) -> Beginning:
    return Beginning(ids, [(torch.zeros(1, 1, len(ids), 4), torch.zeros(1, 1, len(ids), 4))])


def test_the_one_used_longest_ago_goes_when_memory_is_full() -> None:
    rows = [[number] * SHORTEST for number in range(3)]
    kept = Beginnings(max_bytes=2 * made(rows[0]).size)
    kept.keep("a", made(rows[0]))
    kept.keep("a", made(rows[1]))
    assert kept.find("a", [*rows[0], 9]) is not None  # used, so it stays
    kept.keep("b", made(rows[2]))
    there = [kept.find(name, [*row, 9]) is not None for name, row in zip("aab", rows, strict=True)]
    assert there == [True, False, True]


def test_a_longer_beginning_takes_the_place_of_the_one_it_goes_on_from() -> None:
    kept, row = Beginnings(), list(range(40))
    kept.keep(None, made(row[:20]))
    kept.keep(None, made(row))
    assert len(kept) == 1
    begun = kept.find(None, row)
    assert begun is not None and len(begun) == 39, "one token is left to read"


def test_a_beginning_larger_than_memory_is_not_kept() -> None:
    kept = Beginnings(max_bytes=10)
    kept.keep(None, made(range(SHORTEST)))
    assert len(kept) == 0


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_common_counts_what_is_alike(one: list[int], other: list[int]) -> None:
    length = common(one, other)
    assert one[:length] == other[:length]
    assert one[length : length + 1] != other[length : length + 1] or min(len(one), len(other)) == length
