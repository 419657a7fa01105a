"""Bad answers are told from good ones that look like them."""

import pytest

from ft_assets.curation import answers, phrases
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


@pytest.mark.parametrize(
    "answer",
    ["I'm sorry, but I can't help with that.", "I can’t assist with that request.", "Sorry, I cannot do that.",
     "As an AI language model, I cannot provide medical advice.", "I won't be able to answer that.",
     "I am unable to fulfill this request.", "I must decline to answer.", "I do not feel comfortable discussing that.",
     "Unfortunately, I cannot comply with this.", "This content violates our policy.",
     "It would be unethical for me to write this.", "As an AI language model, I do not have feelings."],
)  # fmt: skip
def test_refusals_are_told(answer: str) -> None:
    assert phrases.refusal(answer, _SETTINGS)
    assert phrases.refusal(answer, Curation(reject_refusals=False)) is None


@pytest.mark.parametrize(
    "answer",
    ["I can't believe how good it is!", "Sorry for the delay, your order was shipped today.",
     "I cannot find the file in the directory; check the path.", "You cannot return opened items.",
     "Unfortunately, your card was declined. Try another one.", "I must say that the first one is better.",
     "I'm sorry to hear that your parcel is late. It will arrive on Monday.", "Refuse the connection.",
     "As an AI engineer, I would start with the data.", "I can't help but notice the typo in line 3.",
     "I cannot help you until Monday. " + "Here is what to do meanwhile, step by step. " * 10],
)  # fmt: skip
def test_helpful_answers_are_not_taken_for_refusals(answer: str) -> None:
    assert phrases.refusal(answer, _SETTINGS) is None


@pytest.mark.parametrize(
    "answer",
    ["Sure! Here is the answer:", "I hope this helps!", "As an AI language model, I can help.",
     "Thank you for your question! Is there anything else?", "Great question! Let me know if you need more.",
     "You're welcome!"],
)  # fmt: skip
def test_phrases_that_fit_every_question_are_boilerplate(answer: str) -> None:
    assert phrases.boilerplate(answer, _SETTINGS)


@pytest.mark.parametrize(
    "answer",
    ["Sure! Here is the list: 1, 2, 3", "Yes.", "Yes, it is.", "Here are three reasons: cost, speed and size.",
     "Thanks to caching, it is fast.", "Great question! The answer is 5.", "Certainly!", "Okayama is in Japan.",
     "Let me know the order number and I will look it up.", "Herein lies the problem.", "As an aide, he was good."],
)  # fmt: skip
def test_answers_that_say_something_are_no_boilerplate(answer: str) -> None:
    assert phrases.boilerplate(answer, _SETTINGS) is None


def test_repetition_is_the_share_of_words_in_repeated_phrases() -> None:
    loop = "the cat sat on the mat and then it slept " * 6
    assert answers.repetitive(loop, _SETTINGS)
    assert answers.repetitive(loop, Curation(max_repetition=1.0)) is None
    assert answers.repetitive(" ".join(map(str, range(200))), _SETTINGS) is None
    assert answers.repetitive("ha ha ha ha ha ha ha ha", _SETTINGS) is None  # too short to tell


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
