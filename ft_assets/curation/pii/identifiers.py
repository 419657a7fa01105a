"""Personal data: Presidio's recognisers, each with the forms and words that make its finds certain.

In this order: where two finds overlap, the one further up counts.
"""

import ipaddress
import re

from ft_assets.curation.pii.phones import PHONE
from ft_assets.curation.pii.presidio import presidio
from ft_assets.curation.pii.recogniser import Recogniser

_EMAIL = r"(?<![\w.%+-])[\w%+-](?:[\w.%+'-]{0,62}[\w%+-])?@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{0,61}[^\W_](?![\w-])"
_CARD = (
    r"\b(?:[2-6]\d{3}([ .-])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|3[47]\d\d([ .-])\d{6}\2\d{5}"
    r"|3\d{3}([ .-])\d{6}\3\d{4}|3\d{13}|4\d{12}|[2-6]\d{14,18})\b"
)
_VERSION = re.compile(
    r"(?:version|release|build|firmware|sections?|chapter|\bv\.?)[\s:=\"']*$|\w(?:[=<>~!^]=|\^)$", re.I
)


def _is_address(value: str) -> bool:
    """An IP address of some machine. Loopback, masks and wildcards belong to nobody; `1::2` is a slice of a list."""
    try:
        address = ipaddress.ip_address(value.partition("/")[0])
    except ValueError:
        return False
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_unspecified or address.is_reserved or address.is_multicast:
        return False
    return address.version == 4 or address.is_link_local or sum(letter.isalnum() for letter in value) > 5


def _passes_singapore_check(value: str) -> bool:
    """The check letter of an NRIC or FIN: weights 2 7 6 5 4 3 2, one table of letters a series."""
    series, digits, letter = value[0].upper(), value[1:-1], value[-1].upper()
    total = sum(weight * int(digit) for weight, digit in zip((2, 7, 6, 5, 4, 3, 2), digits, strict=True))
    total += {"T": 4, "G": 4, "M": 3}.get(series, 0)
    if series == "M":
        return "KLJNPQRTUWX"[10 - total % 11] == letter
    return ("JZIHGFEDCBA" if series in "ST" else "XWUTRQPNMLK")[total % 11] == letter


IDENTIFIERS: tuple[Recogniser, ...] = (
    Recogniser(
        "EMAIL",
        presidio("EmailRecognizer", _EMAIL),
        alone=re.compile(r"(?!git@)"),
        loose=True,
        form=re.compile(r"@(?<=[\w%+-]@)[\w-]"),
    ),
    Recogniser(
        "IBAN",
        presidio("IbanRecognizer"),
        alone=re.compile(""),
        digits=4,
        form=re.compile(r"[A-Z]{2}\d\d[ -]?[A-Z0-9]{4}"),
    ),
    Recogniser(
        "CARD",
        presidio("CreditCardRecognizer", _CARD, replacement_pairs=[("-", ""), (" ", ""), (".", "")]),
        alone=re.compile(r"(?!\d{13}$|(\d)\1*$)"),
        words=("card", "visa", "mastercard", "amex", "credit"),
        digits=13,
        form=re.compile(r"\d(?:[ .-]?\d){12}"),
    ),
    Recogniser(
        "IP",
        presidio("IpRecognizer"),
        alone=re.compile(""),
        accept=_is_address,
        never=_VERSION,
        digits=2,
        form=re.compile(r"[:.][0-9A-Fa-f]{0,4}[:.]"),
    ),
    Recogniser(
        "MAC",
        presidio("MacAddressRecognizer"),
        alone=re.compile(""),
        digits=1,
        form=re.compile(r"[:.-][0-9A-Fa-f]{2,4}[:.-]"),
    ),
    Recogniser(
        "CRYPTO",
        presidio("CryptoRecognizer"),
        alone=re.compile(""),
        digits=1,
        form=re.compile(r"(?:bc1|[13])[A-Za-z0-9]{25}"),
    ),
    Recogniser(
        "US_ITIN",
        presidio("UsItinRecognizer"),
        alone=re.compile(r"\d{3}-\d\d-\d{4}"),
        words=("itin", "taxpayer", "tax id"),
        digits=9,
        form=re.compile(r"\d{3}-\d\d-\d{4}"),
    ),
    Recogniser(
        "US_SSN",
        presidio("UsSsnRecognizer"),
        alone=re.compile(r"\d{3}-\d\d-\d{4}"),
        words=("ssn", "social security", "social_security"),
        digits=9,
        form=re.compile(r"\d{3}-\d\d-\d{4}"),
    ),
    Recogniser("UK_NHS", presidio("NhsRecognizer"), words=("nhs", "national health"), digits=10),
    Recogniser(
        "UK_NINO",
        presidio("UkNinoRecognizer"),
        alone=re.compile(r"[A-Z]{2}[ \d]+[A-D]"),
        words=("national insurance", "nino", "ni number"),
        digits=6,
        form=re.compile(r"[A-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D]"),
    ),
    Recogniser(
        "ES_NIF",
        presidio("EsNifRecognizer"),
        alone=re.compile(r"\d{8}-?[A-Z]"),
        words=("nif", "dni"),
        digits=7,
        form=re.compile(r"\d{8}-?[A-Z]"),
    ),
    Recogniser(
        "ES_NIE",
        presidio("EsNieRecognizer"),
        alone=re.compile(r"[XYZ]\d{7}-?[A-Z]"),
        digits=7,
        form=re.compile(r"[XYZ]\d{7}-?[A-Z]"),
    ),
    Recogniser(
        "IT_FISCAL_CODE",
        presidio("ItFiscalCodeRecognizer"),
        alone=re.compile(r"[A-Z0-9]{16}"),
        words=("codice fiscale", "codice_fiscale"),
        digits=4,
        form=re.compile(r"[A-Z]{6}[0-9LMNP-V]{2}[A-Z]"),
    ),
    Recogniser("PL_PESEL", presidio("PlPeselRecognizer"), words=("pesel",), digits=11),
    Recogniser(
        "SG_FIN",
        presidio("SgFinRecognizer", r"\b[STFGM]\d{7}[A-Z]\b"),
        alone=re.compile(r"[STFGM]\d{7}[A-Z]"),
        words=("nric", "fin number", "fin no"),
        accept=_passes_singapore_check,
        digits=7,
        form=re.compile(r"[STFGM]\d{7}[A-Z]"),
    ),
    Recogniser("AU_TFN", presidio("AuTfnRecognizer"), words=("tfn", "tax file"), digits=9),
    Recogniser(
        "AU_ABN",
        presidio("AuAbnRecognizer"),
        alone=re.compile(r"\d\d \d{3} \d{3} \d{3}"),
        words=("abn", "australian business"),
        digits=11,
        form=re.compile(r"\d\d \d{3} \d{3} \d{3}"),
    ),
    Recogniser("AU_MEDICARE", presidio("AuMedicareRecognizer"), words=("medicare",), digits=10),
    Recogniser(
        "IN_PAN",
        presidio("InPanRecognizer", r"\b[A-Z]{5}\d{4}[A-Z]\b"),
        alone=re.compile(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]"),
        words=("permanent account",),
        digits=4,
        form=re.compile(r"[A-Z]{5}\d{4}[A-Z]"),
    ),
    Recogniser(
        "IN_AADHAAR",
        presidio("InAadhaarRecognizer"),
        alone=re.compile(r"\d{4}[ -]\d{4}[ -]\d{4}"),
        words=("aadhaar", "aadhar", "uidai"),
        digits=12,
        form=re.compile(r"\d{4}[ -]\d{4}[ -]\d{4}"),
    ),
    Recogniser("DE_TAX_ID", presidio("DeTaxIdRecognizer"), words=("steuer", "idnr", "tax id"), digits=11),
    Recogniser(
        "CA_SIN",
        presidio("CaSinRecognizer"),
        digits=9,
        words=("social insurance", "social_insurance", "sin number", "sin no"),
    ),
    Recogniser(
        "MEDICAL_LICENSE",
        presidio("MedicalLicenseRecognizer"),
        digits=7,
        words=("dea", "medical licen", "medical_licen"),
    ),
    Recogniser("US_PASSPORT", presidio("UsPassportRecognizer"), digits=8, words=("passport",)),
    PHONE,
)
