"""A labelled set for personal data: sentences with invented values, disguised ones, and what only looks like them."""

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from benchmarks import pii_values as values
from benchmarks.pii_secrets import secrets

_EACH = 24
_SEED = 20261121


@dataclass(frozen=True)
class Labelled:
    """One text.

    Attributes:
        entities: start, end and type of every value in it.
        kind: plain, disguised (full-width digits, invisible characters, odd blanks) or negative (nothing in it).
    """

    text: str
    entities: tuple[tuple[int, int, str], ...] = ()
    kind: str = "plain"


# Of each type: what makes a value, and what people write around it. A sentence in which nothing says what a number is
# is among them where people write such sentences, so the recall of numbers without a form of their own is below 1.
_TYPES: dict[str, tuple[values.Make, tuple[str, ...]]] = {
    "EMAIL": (
        values.email,
        (
            "Write to {}.",
            "From: <{}>",
            "contact='{}',",
            "cc {}; thanks",
            "mailto:{}?subject=hi",
            "__author__ = 'A. Adler <{}>'",
            "{}",
        ),
    ),
    "PHONE": (
        values.phone,
        (
            "Call me at {} after six.",
            "Tel: {}",
            "my number {} has changed",
            "phone = '{}'",
            "Fax {}, second floor",
            "{}",
            "reach us on {}.",
        ),
    ),
    "CARD": (
        values.card,
        ("Card {} was declined.", "charged to {} on Monday", "cc: {}, exp 04/29", "card_number='{}'", "{}"),
    ),
    "IBAN": (values.iban, ("Send it to {} by Friday.", "IBAN: {}", "account {}, reference 12", "iban='{}'")),
    "IP": (
        values.ip,
        ("The request came from {}.", "ssh root@{}", "client {} timed out", "host = '{}'", "{} - GET /"),
    ),
    "MAC": (values.mac, ("Device {} is offline.", "mac: {}", "ether {} txqueuelen 1000", "'{}'")),
    "US_SSN": (
        values.us_ssn,
        ("My SSN is {}.", "ssn: {}", "Social security number {} on file", "her {} was leaked"),
    ),
    "US_ITIN": (values.us_itin, ("My ITIN is {}.", "taxpayer number {}", "Form W-7, {}, approved")),
    "UK_NHS": (
        values.uk_nhs,
        (
            "NHS number {}.",
            "NHS no: {}",
            "nhs_number = '{}'",
            "National Health Service id {}",
            "Patient {} was seen today.",
        ),
    ),
    "UK_NINO": (
        values.uk_nino,
        ("NI number {}.", "National insurance: {}", "payroll entry {} is missing", "'{}'"),
    ),
    "ES_NIF": (values.es_nif, ("Mi DNI es {}.", "NIF: {}", "firmado, {}", "cliente {} de Sevilla")),
    "ES_NIE": (values.es_nie, ("NIE {}.", "con número {}", "extranjero {}, Madrid")),
    "IT_FISCAL_CODE": (values.it_fiscal_code, ("Codice fiscale: {}", "il contribuente {} risulta", "cf {}.")),
    "PL_PESEL": (values.pl_pesel, ("PESEL: {}", "numer PESEL {}", "pesel='{}'", "obywatel {} z Krakowa")),
    "SG_FIN": (values.sg_fin, ("NRIC {}.", "my FIN is {}", "applicant {} from Jurong")),
    "AU_TFN": (
        values.au_tfn,
        ("TFN {}.", "tax file number: {}", "my tfn is {}", "payroll needs {} from you"),
    ),
    "AU_ABN": (values.au_abn, ("ABN {}.", "Australian Business Number {}", "invoice by sole trader {}")),
    "AU_MEDICARE": (
        values.au_medicare,
        ("Medicare card {}.", "medicare no {}", "Medicare: {}", "the claim of {}"),
    ),
    "IN_PAN": (values.in_pan, ("PAN {}.", "permanent account number {}", "KYC failed for {}")),
    "IN_AADHAAR": (
        values.in_aadhaar,
        ("Aadhaar {}.", "aadhaar no: {}", "UIDAI record {}", "the id {} was seeded"),
    ),
    "DE_TAX_ID": (
        values.de_tax_id,
        ("Steuer-ID {}.", "Steuerliche Identifikationsnummer: {}", "IdNr. {}", "Herr Brandt, {}, Lindau"),
    ),
    "CA_SIN": (
        values.ca_sin,
        (
            "Social insurance number {}.",
            "SIN number: {}",
            "social insurance no. {}",
            "the employee's {} is wrong",
        ),
    ),
    "MEDICAL_LICENSE": (
        values.medical_license,
        ("DEA {}.", "DEA number: {}", "Dr. Haddad, DEA no {}", "signed, {}"),
    ),
    "US_PASSPORT": (
        values.us_passport,
        ("Passport {}.", "passport number {}", "US passport no: {}", "gate agent saw {}"),
    ),
    "CRYPTO": (values.crypto, ("Send it to {}.", "wallet {}", "btc='{}'", "donations: {}")),
}
_DISGUISED = ("EMAIL", "PHONE", "CARD", "IBAN", "IP", "US_SSN", "UK_NINO", "ES_NIF")
_FILLERS = (
    "",
    "Hello, I have a question about my order. ",
    "As I said on the phone yesterday: ",
    "Note: ",
    "# TODO ",
)

_NEGATIVES = """\
def f(a): return a[::2] + a[1::3] + a[10:20:2], a[1000::2]
std::vector<int> v; ns::f(x); a::b::c
@property
@app.route("/users/<int:id>")
x = y @ z; matrix @ vector.T; d@dataclass
assert 3.141592653589793 - 2.718281828459045 < 0.5
values = [0.1234567890123456, 1.7976931348623157e308, 2.2250738585072014e-308]
weights = 0.299 0.587 0.114 0.5870 0.1140
numpy==1.26.4, torch>=2.3.1.0, foo~=1.2.3.4, chrome/126.0.6478.127
Version 10.0.19045.4529 is installed; version 2.16.840.1
OID 1.2.840.113549.1.1.11 and section 3.4.1.2.5
127.0.0.1, 0.0.0.0, 255.255.255.0, ::1, ::
ISBN 978-3-16-148410-0, ISBN-10 0-306-40615-2, ISSN 2049-3630, doi:10.1000/182
978 0 306 40615 7 is the ISBN
EAN 4006381333931 and UPC 036000291452
2023-10-05 14:30:00, 2023/10/05, 05.10.2023, 10-05-2023 12:30
20231005143000 and 2023-10-05T14:30:00.123456Z
1700000000, 1700000000000, 1700000000123456789 ns since the epoch
order number 9876543210, invoice 2023-0001234, ticket 123456789, case 00123456789
tracking 1Z999AA10123456784, container MSKU1234565, parcel 00340434161094042557
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
commit 9fceb02d0ae598e95dc970b74767f19372d61af8 and 9fceb02
md5 d41d8cd98f00b204e9800998ecf8427e
123e4567-e89b-12d3-a456-426614174000
00000000-0000-0000-0000-000000000000
0xDEADBEEF, 0x1F4A9, 0b10110111, 0o755, 1_000_000_000, 4_294_967_296
4111 1111 1111 1112 and 0000 0000 0000 0000
password=password, token = self.next_token(), pwd=None, secret=os.environ["SECRET_1"]
token2id = {t: i for i, t in enumerate(tokens)}; login(token=token2id, password=user2.password)
tokenizer = AutoTokenizer.from_pretrained("gpt2-medium"); secret: base64-encoded str; api_key: sha256 hex digest
password: str = Field(min_length=8); token_type="bearer"; pwd=/home/user1/project
class Token(enum.Enum): NAME1 = 1; OP2 = 2
key = lambda x: x[1]; sorted(d, key=itemgetter(1)); monkey-patch32
the basic algorithm2 and a bearer bond of 1999
sk-learn-compatible-estimators-for-time-series-classification
the ghp_ prefix; keys start with AKIA or ASIA; hf_hub_download(repo)
icon@2x.png, sprite@3x.webp, user@, @mention, pkg@1.2.3, actions/checkout@v4
git@github.com:org/repo.git
http://localhost:8080/a/b?c=1; https://example.com/item/4111111111111111; s3://bucket/key@version
<EMAIL_1> called <PHONE_2> and paid with <CARD_1>
between 1914-1918 and 1939-1945; pages 1234-1240; scores 100-200-300
range(1000000, 2000000), timeout=3600000, size 1920x1080, 1024*1024*1024
10 000 000 people, 1 234 567 rows, 12,345,678.90 EUR
lat 52.520008, lon 13.404954; bbox 13.08 52.33 13.76 52.67
port 8080 8443 5432 6379 27017 9200 9300
1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
2021 2022 2023 2024 2025
float32[3, 224, 224] -> int64; 64-bit; utf-8; iso-8859-1; cp1252
ABCDE12345F, QWERT1234, AB12CDE, XJ-900-12, SN 12345678X
M6x40-8.8, DIN 912, R2D2-C3PO, A1234567B
T1234567Z, S9999999A, G1111111A
aa-bb-cc, 12:30:45:10, 10:20, 3:2:1 ratio
^\\d{3}-\\d{2}-\\d{4}$ and [0-9]{16}
RFC 2822 sections 3.4.1 and 3.4.2, PEP 484, ISO 8601, 802.11ax
call(1234567), phone_model = "SM-G991B", telephone exchange 5
tell 1234 people; the telescope saw 12345678 stars; faxed 3 pages
finance 20230001, passport control at gate 12, credit of 123.45
Medicare spent 1234567890 dollars? no: 830 billion
zip 94105-1234, ZIP+4 10001-0001, postcode SW1A 1AA
chmod 0644; exit code 137; errno 104; signal 15; 0xC0000005
""".splitlines()


def labelled() -> list[Labelled]:
    """The set, the same at every call."""
    random = Random(_SEED)
    plain = [_sentence(random, type) for type in _TYPES for _ in range(_EACH)]
    hidden = [_disguised(random, type) for type in _DISGUISED for _ in range(6)]
    secret = [
        _fill(random.choice(_FILLERS) + frame, value, "SECRET") for frame, value in secrets(random, each=2)
    ]
    return [*plain, *hidden, *secret, *(Labelled(text, kind="negative") for text in negatives(random))]


def negatives(random: Random) -> Iterator[str]:
    """Texts with nothing to find in them: written ones, and numbers of forms that are drawn."""
    yield from _NEGATIVES
    for _ in range(60):
        yield f"id {uuid.UUID(int=random.getrandbits(128), version=4)} done"
        yield f"commit {hashlib.sha1(random.randbytes(8)).hexdigest()}"
        yield f"ts={random.randint(1_600_000_000, 1_800_000_000)}.{random.randint(0, 999_999):06}"
        yield f"order {values.digits(random, random.choice([8, 9, 10, 11, 12]))} shipped"
        yield f"x = {random.random()!r} + {random.uniform(-1e6, 1e6)!r}"
        yield f"part {values.chars(random, 9).upper()} in bin {random.randint(1, 999)}"


def _sentence(random: Random, type: str) -> Labelled:
    make, frames = _TYPES[type]
    return _fill(random.choice(_FILLERS) + random.choice(frames), make(random), type)


def _disguised(random: Random, type: str) -> Labelled:
    make, frames = _TYPES[type]
    value = make(random)
    disguise = random.choice(["full-width", "invisible", "blank"])
    if disguise == "full-width":
        value = "".join(chr(ord(letter) + 0xFEE0) if letter.isdigit() else letter for letter in value)
    elif disguise == "invisible":
        middle = len(value) // 2
        value = f"{value[:middle]}\u200b{value[middle:]}"
    value = value.replace(" ", "\u00a0").replace("-", "\u2011")
    return _fill(frames[0], value, type, "disguised")


def _fill(frame: str, value: str, type: str, kind: str = "plain") -> Labelled:
    start = frame.replace("{{", "{").replace("}}", "}").index("{}")
    return Labelled(frame.format(value), ((start, start + len(value), type),), kind)
