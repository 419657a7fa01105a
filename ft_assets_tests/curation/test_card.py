"""The card says what is in the data, and nothing in the data can break it."""

import base64

from ft_assets.curation.card import card, cell, draw_lengths
from ft_assets.curation.summary import LENGTH_BINS, Sample, Summary, add, bin_of, source_name


def summary(**fields: object) -> Summary:
    nothing = [0] * len(LENGTH_BINS)
    values = {
        "rows_in": 10,
        "curated": 7,
        "rejected": {"near_duplicate": 2, "refusal": 1},
        "pii": {"EMAIL": 3},
        "slices": {"billing": 4, "returns": 3},
        "sources": {"a.jsonl": 7},
        "licenses": {"MIT": 7},
        "consents": {"none": 7},
        "kinds": {"seed": 7},
        "copied": 1,
        "length_unit": "words",
        "prompt_lengths": [3, 4, *nothing[2:]],
        "answer_lengths": [7, *nothing[1:]],
        "samples": [Sample(before="a\u00a0b", after="a b")],
    }
    return Summary.model_validate({**values, **fields})


def test_every_count_is_on_the_card() -> None:
    told = card(summary(), {"train": 5, "validation": 1, "eval": 1, "quarantine": 0})
    for line in ("7 of 10 rows are kept; 3 (30.0%) are rejected", "| near_duplicate | 2 |", "| EMAIL | 3 |",
                 "| billing | 4 |", "| a.jsonl | 7 |", "| eval | 1 |", "| 8-15 | 4 | ██████████",
                 "0 exact, 2 near, 0 of the same meaning duplicates of 1 rows that stay"):  # fmt: skip
        assert line in told


def test_hostile_names_and_texts_stay_in_their_cells() -> None:
    hostile = "a|b\n# Title <script>`x` ![i](http://x/y.png)"
    told = card(summary(slices={hostile: 7}, samples=[Sample(before=hostile, after="a")]))
    assert "<script>" not in told and "\n# Title" not in told and "![i]" not in told
    lines = [line for line in told.splitlines() if "Title" in line]
    assert len(lines) == 2 and all(line.count("|") - line.count("\\|") == 3 for line in lines)
    assert len(cell("x" * 10_000)) < 200


def test_a_section_with_nothing_to_count_says_so() -> None:
    assert "replaced, by type\n\nNone.\n" in card(summary(pii={}))


def test_many_slices_are_added_up_at_the_end() -> None:
    told = card(summary(slices={f"s{number}": 1 for number in range(100)}))
    assert "| 70 more | 70 |" in told and "| s99 |" not in told


def test_summaries_add_up() -> None:
    both = add([summary(), summary(slices={"returns": 9}, rejected={"refusal": 3})])
    assert (both.rows_in, both.curated, both.copied) == (20, 14, 2)
    assert both.slices == {"returns": 12, "billing": 4}
    assert both.rejected == {"refusal": 4, "near_duplicate": 2}
    assert both.prompt_lengths[:2] == [6, 8]
    assert add([]).rows_in == 0


def test_lengths_are_drawn_as_a_picture() -> None:
    assert base64.b64decode(draw_lengths(summary())).startswith(b"\x89PNG")


def test_a_source_is_named_without_what_is_particular_to_a_row() -> None:
    assert source_name("support.jsonl#t-17") == "support.jsonl"
    assert source_name("python:json.dumps") == "python:json"
    assert [bin_of(length) for length in (0, 7, 8, 4_095, 4_096, 10**9)] == [0, 0, 1, 9, 10, 10]
