"""The earliest of the copies stays, and each dropped row names the row that stays."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.curation.duplicates import Copy, find_copies, row_text
from ft_assets.curation.near_duplicates import jaccard, shingles
from ft_assets_tests.curation.rows import chat, words


def test_exact_copies_of_this_batch_and_of_earlier_ones_are_dropped() -> None:
    old, new = chat("Old?", "Old answer."), chat("New?", "New answer.")
    assert find_copies([new, old, new], [old], 0.8) == {
        1: Copy("exact_duplicate", old.id, 1.0),
        2: Copy("exact_duplicate", new.id, 1.0),
    }


def test_near_copies_name_their_similarity() -> None:
    first, second = chat(words(0, 40), "Right."), chat(words(0, 40) + " more", "Right.")
    (copy,) = find_copies([first, second], [], 0.8).values()
    assert (copy.reason, copy.of) == ("near_duplicate", first.id)
    assert copy.similarity == jaccard(shingles(row_text(first)), shingles(row_text(second)))
    assert copy.detail == f"of {first.id}, similarity {copy.similarity:.3f}"


def test_a_chain_of_small_changes_is_not_swallowed_whole() -> None:
    chain = [chat(words(start, 40), "Right.") for start in (0, 2, 4)]
    assert find_copies(chain, [], 0.8).keys() == {1}


def test_an_exact_copy_of_a_dropped_near_copy_names_the_row_that_stays() -> None:
    first, second = chat(words(0, 40), "Right."), chat(words(1, 40), "Right.")
    copies = find_copies([first, second, second], [], 0.8)
    assert {index: copy.of for index, copy in copies.items()} == {1: first.id, 2: first.id}


def test_a_correction_with_another_answer_to_a_known_prompt_stays() -> None:
    seed = chat("Name the capital of Australia.", "The capital of Australia is the city of Sydney.")
    correction = chat(
        "Name the capital of Australia.",
        "Canberra, a planned city between Sydney and Melbourne.",
        kind="correction",
    )
    assert find_copies([correction], [seed], 0.8) == {}


def test_rows_that_differ_in_case_or_space_are_copies() -> None:
    first = chat("Hello  there, my good friend", "Good day to you.")
    assert find_copies([chat("Hello there, my good friend", "Good day to you.")], [first], 0.8)
    assert find_copies([chat("hello there, my good friend", "good day to you.")], [first], 0.8)


_rows = st.builds(
    lambda prompt, answer: chat(" ".join(prompt), " ".join(answer)),
    st.lists(st.sampled_from(["red", "green", "blue", "grey"]), min_size=1, max_size=5),
    st.lists(st.sampled_from(["one", "two"]), min_size=1, max_size=2),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(_rows, max_size=12), st.lists(_rows, max_size=4), st.sampled_from([0.4, 0.8]))
def test_every_dropped_row_has_a_like_row_that_stays_and_no_two_like_rows_stay(
    rows: list, earlier: list, threshold: float
) -> None:
    copies = find_copies(rows, earlier, threshold)
    stay = {
        row.id: row for row in [*earlier, *(row for index, row in enumerate(rows) if index not in copies)]
    }
    for index, copy in copies.items():
        similarity = jaccard(shingles(row_text(rows[index])), shingles(row_text(stay[copy.of])))
        assert similarity == copy.similarity >= threshold
    kept = [shingles(row_text(row)) for index, row in enumerate(rows) if index not in copies]
    old = [shingles(row_text(row)) for row in earlier]
    for index, row in enumerate(kept):
        assert all(jaccard(row, other) < threshold for other in [*kept[:index], *old])
