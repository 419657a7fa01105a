"""The screen hides nothing: with it and without it the same is found."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.pii_set import labelled
from ft_assets.curation.pii.presidio import presidio_patterns
from ft_assets.curation.pii.view import View
from ft_assets.curation.redaction import RECOGNISERS, find

_LABELLED = [each.text for each in labelled()]
_NAMES = ["Iban", "CreditCard", "Ip", "MacAddress", "Crypto", "UsItin", "UsSsn", "Nhs", "UkNino", "EsNif", "EsNie",
          "ItFiscalCode", "PlPesel", "SgFin", "AuTfn", "AuAbn", "AuMedicare", "InAadhaar", "DeTaxId", "CaSin",
          "MedicalLicense", "UsPassport"]  # fmt: skip


def test_the_labelled_set_is_answered_alike() -> None:
    differing = [text for text in _LABELLED if find(text) != find(text, screened=False)]
    assert differing == []


def _as_re(pattern: str) -> str:
    """Of two flags in the middle, Python's own engine wants none."""
    return pattern.replace("(?i)", "")


_forms = st.one_of(
    [st.from_regex(re.compile(_as_re(form), re.ASCII), fullmatch=True)
     for name in _NAMES for form in presidio_patterns(f"{name}Recognizer")]
)  # fmt: skip
_words = st.sampled_from(sorted({word for each in RECOGNISERS for word in (*each.words, *each.cues)}))
_noise = st.text(alphabet=st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs"]), max_size=8)
_joints = st.sampled_from(["", " ", ": ", "=", "\n", "-", ".", "/", "\u200b", "「"])
_pieces = st.one_of(_forms, _words, _noise, st.sampled_from(_LABELLED))


@settings(max_examples=300)
@given(st.lists(st.tuples(_pieces, _joints), max_size=6))
def test_texts_of_what_recognisers_look_for_are_answered_alike(pieces: list[tuple[str, str]]) -> None:
    text = "".join(piece + joint for piece, joint in pieces)
    assert find(text) == find(text, screened=False)


@pytest.mark.parametrize(
    "text",
    [
        "Thanks, that solved it. Have a nice day!",
        "def add(self, other):\n    return Vector(self.x + other.x, self.y + other.y)",
        "Order 4 arrived on 12 May; it has 2 lamps, 3 chairs and 1 table.",
    ],
)
def test_clean_texts_ask_no_recogniser(text: str) -> None:
    asked = [each.type for each in RECOGNISERS if each.may_match(View(text))]
    assert asked == []
