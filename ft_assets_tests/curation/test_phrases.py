"""Refusals and filler are told from answers that begin like them."""

import pytest

from ft_assets.curation import phrases
from ft_assets.recipe_data import Curation

_SETTINGS = Curation()


@pytest.mark.parametrize(
    "answer",
    ["I'm sorry, but I can't help with that.", "I can’t assist with that request.", "Sorry, I cannot do that.",
     "As an AI language model, I cannot provide medical advice.", "I won't be able to answer that.",
     "I am unable to fulfill this request.", "I must decline to answer.", "I do not feel comfortable discussing that.",
     "Unfortunately, I cannot comply with this.", "This content violates our policy.",
     "It would be unethical for me to write this.", "No, I can't help with that.", "I'm afraid I can't do that.",
     "We are unable to comply with your request.", "As an AI, I don't have personal opinions, feelings or beliefs.",
     "I am an AI language model and do not have a name.", "I won't help you with that.",
     "I'm sorry, but I can't help with that. Is there anything else I can help you with?",
     "I apologize, but I cannot fulfill that request. It is against my guidelines.",
     "I cannot generate content of that kind.\n\nPlease let me know if you have any other questions!"],
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
     "I cannot help you until Monday. " + "Here is what to do meanwhile, step by step. " * 10,
     "I'm sorry, but we cannot offer refunds after 30 days.", "I can't help it; I love rain.", "I won't give up.",
     "Sorry, I can't give you a refund after 30 days, but I can offer store credit.", "I can't do without coffee.",
     "I cannot create the file because the disk is full.",
     "Unfortunately, I cannot complete the build: gcc is missing.",
     "I'm sorry, but I can't help with that. However, you can call our hotline on weekdays from 9 to 5.",
     "I can't help with tax questions, but your local tax office can; it is open on Mondays.", "I can't make it.",
     "I must share this recipe with you: flour, water, salt.", "I can't answer the phone right now.",
     "As an AI, I have no body, but the capital of France is Paris.", "I am an AI researcher at Oxford.",
     "Sorry, I can't do that day. How about Tuesday?", "I can't write to /etc: permission denied.",
     "I cannot provide a better example than this one: f(x) = x.", "It is unethical to lie.",
     "The request violates RFC 7230.", "I do not feel comfortable in crowds, she said."],
)  # fmt: skip
def test_answers_are_not_taken_for_refusals(answer: str) -> None:
    assert phrases.refusal(answer, _SETTINGS) is None
    assert phrases.boilerplate(answer, _SETTINGS) is None


@pytest.mark.parametrize(
    "answer",
    ["Sure! Here is the answer:", "I hope this helps!", "As an AI language model, I am here to help.",
     "Thank you for your question! Is there anything else?", "Great question! Let me know if you need more.",
     "You're welcome!", "Certainly, here are three reasons…", "Okay! Here you go:",
     "I'd be happy to help you with that."],
)  # fmt: skip
def test_phrases_that_fit_every_question_are_boilerplate(answer: str) -> None:
    assert phrases.boilerplate(answer, _SETTINGS)


@pytest.mark.parametrize(
    "answer",
    ["Sure! Here is the list: 1, 2, 3", "Yes.", "Yes, it is.", "Here are three reasons: cost, speed and size.",
     "Thanks to caching, it is fast.", "Great question! The answer is 5.", "Certainly!", "Okayama is in Japan.",
     "Let me know the order number and I will look it up.", "Herein lies the problem.", "As an aide, he was good.",
     "Hello! How can I help you today?", "Here you go: 42", "You're welcome! The shop opens at 9.", "Of course not.",
     "I'd be happy to help with the garden on Sunday.", "Yes, you're welcome to join us.",
     "Sure!\n```\nx = 1\n```", ""],
)  # fmt: skip
def test_answers_that_say_something_are_no_boilerplate(answer: str) -> None:
    assert phrases.boilerplate(answer, _SETTINGS) is None


@pytest.mark.parametrize(
    "part", ["sorry ", "as an ai ", "I'm an ai, and ", "I can't write ", "here is ", "sure, "]
)
def test_no_answer_is_slow_to_read(part: str) -> None:
    assert phrases.refusal(part * 100_000, _SETTINGS) is None
    assert phrases.boilerplate(part * (1_000 // len(part)), _SETTINGS) is None
