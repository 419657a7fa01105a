"""The report's page: what it tells, and that no text in it is more than text."""

import re
from collections import Counter
from collections.abc import Sequence
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ft_assets.evaluation.forest import Line, forest
from ft_assets.evaluation.html_page import html_page
from ft_assets.evaluation.page import page
from ft_assets.evaluation.report import Report
from ft_assets.recipe import Recipe
from ft_assets.sources.example import Example, Message
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets_tests.evaluation.judged import better, judge_crafted

HOSTILE = [
    "<script>alert('script-text')</script>",
    "<img src=x onerror=alert(1)>",
    "![picture](http://evil.example/picture.png)",
    "[link](javascript:alert(1))",
    "<http://evil.example/auto>",
    "a | b || c \\| d",
    "`code` ``` **bold** _thin_ ~~gone~~",
    "<br><b>bold</b>&lt;i&gt;\\<i>",
    "# heading\n- list\n\n    code\r\n| --- |",
    "W" * 10_000,
    "</td></table></div><iframe src='http://evil.example/'>",
    "[ref]: http://evil.example/ 'x'",
]
PAGE = {"html", "head", "meta", "title", "style", "body", "div", "p", "h1", "h2", "h3", "ul"}
TABLE = {"table", "thead", "tbody", "tr", "th", "td", "br"}
PLOT = {"svg", "line", "circle", "text"}
TEXT = re.compile(
    r'<text x="([\d.]+)" y="[\d.]+" text-anchor="(\w+)">(?:<title>[^<]*</title>)?([^<]*)</text>'
)


class Seen(HTMLParser):
    """Every element of a page with its attributes, and all of its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile_row(number: int) -> Example:
    words = HOSTILE[number % len(HOSTILE)]
    turns = (Message(role="user", content=f"{number} {words}"), Message(role="assistant", content=words))
    return Example(messages=turns, source=words, license="MIT", slice=words[:200], batch="b")


def hostile_asked(arm: str, bad: bool) -> list[dict[str, Any]]:
    return [
        {
            "arm": arm,
            "id": f"harm-{at}",
            "kind": "harm",
            "prompt": words,
            "reference": "-",
            "answer": words,
            "bad": bad,
        }
        for at, words in enumerate(HOSTILE)
    ]


@pytest.fixture
def honest(recipe: Recipe) -> Recipe:
    settings = {**recipe.model_dump(), "honesty": {"canaries": 2}}
    return Recipe.model_validate({**settings, "evaluation": {**settings["evaluation"], "max_rows": 24}})


def judge_hostile(home: Home, recipe: Recipe) -> tuple[Candidate, Report]:
    held_out = [hostile_row(number) for number in range(24)]
    asked = [*hostile_asked("base", False), *hostile_asked("candidate", True)]
    exposed = [[1.0, *[2.0] * 63], [3.0, *[2.0] * 63]]
    # One of the hostile rows is trained on too, so that its source and slice are in the contamination's reason.
    return judge_crafted(home, recipe, better, held_out[:1], held_out, asked, exposed)


def files(home: Home, report: Report) -> dict[str, str]:
    folder = home.artifacts.path("reports", report.digest)
    return {name: (folder / name).read_text() for name in ("report.md", "report.html")}


def test_no_text_becomes_an_element_and_nothing_is_loaded(home: Home, honest: Recipe) -> None:
    _, report = judge_hostile(home, honest)
    seen = Seen(files(home, report)["report.html"])
    tags = Counter(tag for tag, _ in seen.elements)
    assert tags.keys() <= PAGE | TABLE | PLOT | {"li", "strong", "code"}
    assert (tags["li"], tags["strong"], tags["code"]) == (len(report.judged.verdict.reasons), 1, 2)
    for tag, attributes in seen.elements:
        assert not attributes.keys() & {"src", "href", "srcset", "data", "action", "onerror", "onload"}, tag
    assert seen.text.count("script-text") >= 3, "it is there to be read: as prompt, answer and slice"
    assert "[link](javascript:alert(1))" in seen.text and "`code` ``` **bold** _thin_ ~~gone~~" in seen.text
    assert "a | b || c \\| d" in seen.text and "<br><b>bold</b>&lt;i&gt;\\<i>" in seen.text
    assert "W" * 2_000 not in seen.text, "long words are cut"


def test_every_row_of_a_table_has_as_many_cells_as_its_head(home: Home, honest: Recipe) -> None:
    _, report = judge_hostile(home, honest)
    tables: list[list[int]] = []
    for tag, _ in Seen(files(home, report)["report.html"]).elements:
        if tag == "table":
            tables.append([])
        elif tag == "tr":
            tables[-1].append(0)
        elif tag in ("td", "th"):
            tables[-1][-1] += 1
    assert len(tables) > 6
    assert all(len(set(cells)) == 1 for cells in tables)


def test_the_page_says_the_verdict_first_and_the_digests_last(home: Home, honest: Recipe) -> None:
    candidate, report = judge_hostile(home, honest)
    text = files(home, report)["report.md"]
    first, sentence, *_ = (line for line in text.splitlines() if line)
    assert first == f"# tiny {candidate.key}: fail"
    assert sentence.startswith("**It must not be released: ") and "contamination" in sentence
    body, last = report.receipt.body, text.partition("## What was judged")[2]
    for field in ("adapter", "base", "dataset", "eval", "recipe"):
        assert body[f"{field}_digest"] in last
    assert "## Honesty" in text and "### Bad answers of the candidate" in text
    assert "| card 0 | 6.0 of 6 |" in text and "| card 1 | 0.0 of 6 |" in text


def test_the_same_judgement_is_the_same_page(home: Home, honest: Recipe) -> None:
    _, report = judge_hostile(home, honest)
    text = page(report.judged)
    assert {"report.md": text, "report.html": html_page(text, report.judged)} == files(home, report)


def test_a_candidate_that_passes_is_said_to_and_shows_no_worse_answer(home: Home, recipe: Recipe) -> None:
    _, report = judge_crafted(home, recipe, better)
    text = files(home, report)["report.md"]
    assert "**It may be released: all " in text and "## Honesty" not in text
    assert "### Worse, by chrF, 0-100\n\nNone." in text


LINES = [
    Line("against the base", 0.5, 0.2, 0.8, 0.0, "pass"),
    Line(
        "against the incumbent, the small slices together (alpha, beta, gamma, delta, epsilon)",
        -1,
        -2,
        -0.5,
        0,
        "fail",
    ),
    Line("日本語" * 30, 0.0, float("-inf"), float("inf"), -0.1, "inconclusive"),
]


@pytest.mark.parametrize("lines", [LINES, LINES[:1], [Line("x", 55, 45.52, 63.791, -10, "pass")]])
def test_nothing_of_a_plot_lies_outside_of_it(lines: Sequence[Line]) -> None:
    drawn = forest(lines, "nats a token")
    (_, plot), *elements = Seen(drawn).elements
    width, height = (float(plot[name] or 0) for name in ("width", "height"))
    for tag, attributes in elements:
        places = [float(value or 0) for name, value in attributes.items() if name in ("x", "x1", "x2", "cx")]
        assert all(0 <= place <= width for place in places), tag
        assert float(attributes.get("y") or attributes.get("cy") or 0) <= height
    for x, anchor, words in TEXT.findall(drawn):
        # What Chromium takes in DejaVu Sans, a wide face: 7 pixels a letter, and 7.4 where most are digits.
        room = (7.4 if anchor == "start" else 7) * sum(
            2 if ord(letter) > 0x2E80 else 1 for letter in unescape(words)
        )
        start = float(x) - {"start": 0, "middle": room / 2, "end": room}[anchor]
        assert start >= 0 and start + room <= width, words
    assert drawn.count("bound ") == len(lines) and "inf" not in drawn


def test_a_long_label_is_cut_and_whole_under_the_mouse() -> None:
    drawn = forest(LINES, "nats a token")
    assert f"<title>{LINES[1].label}</title>" in drawn and "…" in drawn


def test_a_page_names_no_folder_and_allows_no_source(home: Home, recipe: Recipe, tmp_path: Path) -> None:
    _, report = judge_crafted(home, recipe, better)
    html = files(home, report)["report.html"]
    assert str(tmp_path) not in html and "default-src 'none'" in html
