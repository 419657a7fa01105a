"""Bad answers are told from good ones that look like them."""

import pytest

from ft_assets.curation import answers
from ft_assets.recipe_data import Curation

_SETTINGS = Curation()


@pytest.mark.parametrize(
    "answer",
    ["TODO: write this", "N/A", "None.", "Deprecated, use `read_file` instead.", ">>> import io", "Deprecated",
     "See :meth:`run`.", "see OptionParser.destroy().", "See https://example.com/docs", "Self-explanatory."],
)  # fmt: skip
def test_junk_answers_are_rejected(answer: str) -> None:
    assert answers.junk(answer, _SETTINGS)


@pytest.mark.parametrize(
    "answer",
    [
        "Return a list of arguments reproducing the",
        "One, two,",
        "Call the function (",
        "This may result in a",
    ],
)
def test_answers_that_stop_mid_sentence_are_rejected(answer: str) -> None:
    assert answers.unfinished(answer, _SETTINGS)


@pytest.mark.parametrize(
    "answer",
    ["None of them works.", "See you tomorrow.", "To continue, please log in", "Paris", "A", "Todos los santos",
     "See the doctor.", "It is deprecatedly slow.", "It is a list:\n- the\n- a", "Vitamin A", "That is what it is for",
     "Null hypotheses are rejected.", "Placeholders are written in braces."],
)  # fmt: skip
def test_honest_answers_are_not_taken_for_junk(answer: str) -> None:
    assert answers.junk(answer, _SETTINGS) is None
    if answer != "Vitamin A":  # the price of a rule that knows no meaning
        assert answers.unfinished(answer, _SETTINGS) is None


def test_repetition_is_the_share_of_words_in_repeated_phrases() -> None:
    unique = " ".join(map(str, range(10)))
    shares = answers.repeated_shares(
        [
            "the cat sat on the mat and then it slept " * 6,
            f"{unique} one Two three four five, one two three Four five.",
            " ".join(map(str, range(200))),
            "今天天气很好我们去公园散步吧" * 3,  # written without spaces
            "ha ha ha ha ha ha ha ha",  # too short to tell
            "",
        ]
    )
    assert shares == [1.0, 0.5, 0.0, 1.0, 0.0, 0.0]
    assert answers.repeated_shares([]) == []


def test_the_language_of_prose_is_told_and_code_is_not_judged() -> None:
    german = "Das Wetter wird morgen in den meisten Teilen des Landes freundlich und trocken."
    english = Curation(languages=["en"])
    assert answers.wrong_language(german, english) == "the answer is in `de`"
    assert answers.wrong_language(german, _SETTINGS) is None
    assert (
        answers.wrong_language("The weather will be nice tomorrow in most of the country.", english) is None
    )
    assert answers.wrong_language("for i in range(10): print(x[i] + y[i * 2], end='')", english) is None
    assert answers.wrong_language("Ja, genau.", english) is None
