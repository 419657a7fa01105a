"""A language is named where there is enough prose to tell, and nowhere else."""

import pytest

from ft_assets.curation.filters import judge
from ft_assets.curation.language import detect
from ft_assets.errors import WrongInput
from ft_assets.recipe_data import Curation
from ft_assets.sources.example import to_table
from ft_assets_tests.curation.rows import chat


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The quick brown fox jumps over the lazy dog and runs away.", "en"),
        ("Der Hund läuft im Garten herum und bellt laut.", "de"),
        ("La capital de España es Madrid y tiene mucho que ver.", "es"),
        ("Сегодня хорошая погода, и мы пошли гулять в парк.", "ru"),
        ("昨日私は東京へ行って友達に会いました。とても楽しかったです。", "ja"),
        ("今天天气很好，我们一起去公园散步，然后回家吃饭。", "zh"),
        ("आज मौसम बहुत अच्छा है और हम पार्क में घूमने गए।", "hi"),
        ("The function `läuft_im_Garten` is called once; see https://example.org/der/hund for more.", "en"),
    ],
)
def test_prose_is_in_its_language(text: str, language: str) -> None:
    assert detect([text, text]) == [language, language]


@pytest.mark.parametrize(
    "text",
    ["", "Paris", "Ja, genau.", "def f(x):\n    return x[0] + y[1] * (2 - z) / w\n", "```\nder Hund und die Katze\n```",
     "1,204.50; 2,319.75; 3,004.10; total: 6,528.35", "<EMAIL_1> <PHONE_2> <SECRET_1> <EMAIL_2>", "🎉" * 40],
)  # fmt: skip
def test_short_texts_code_and_numbers_are_not_judged(text: str) -> None:
    assert detect([text]) == [None]


def test_a_language_that_cannot_be_told_is_refused() -> None:
    rows = to_table([chat("Who?", "It is surely Ann.")]).to_batches()[0]
    with pytest.raises(WrongInput, match=r"'english' is no language .* ISO 639-1"):
        judge(rows, Curation(languages=["en", "english"]), None)
