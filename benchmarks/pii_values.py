"""Invented values of personal data and secrets: right in form and checksum, and nobody's.

The checksums are written here once more, from their standards, so that the set does not test a recogniser with
itself.
"""

import hashlib
import string
from collections.abc import Callable, Sequence
from random import Random

Make = Callable[[Random], str]
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ALNUM = string.ascii_letters + string.digits
_FIRST = [
    "ann",
    "ben",
    "carla",
    "dmitri",
    "elif",
    "femi",
    "grace",
    "hiro",
    "ines",
    "jonas",
    "kofi",
    "lena",
    "mateo",
    "noor",
    "olga",
    "pavel",
]
_LAST = [
    "adler",
    "brandt",
    "costa",
    "diaz",
    "eriksen",
    "fischer",
    "gupta",
    "haddad",
    "ito",
    "jansen",
    "kowalska",
    "lopez",
    "moreau",
    "novak",
    "okoye",
]


def digits(random: Random, count: int) -> str:
    return "".join(random.choices(string.digits, k=count))


def chars(random: Random, count: int, alphabet: str = _ALNUM) -> str:
    """Characters of which at least one is a digit and one a letter."""
    return (
        "".join(random.choices(alphabet, k=count - 2)) + random.choice("abcdef") + random.choice("23456789")
    )


def grouped(value: str, sizes: Sequence[int], separator: str) -> str:
    parts, start = [], 0
    for size in sizes:
        parts.append(value[start : start + size])
        start += size
    return separator.join(parts)


def _until(random: Random, make: Make, accept: Callable[[str], bool]) -> str:
    while not accept(value := make(random)):
        pass
    return value


def _weighted(value: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(value, weights, strict=True))


def luhn(value: str) -> bool:
    total = sum(sum(divmod(int(digit) * (1 + index % 2), 10)) for index, digit in enumerate(reversed(value)))
    return total % 10 == 0


def email(random: Random) -> str:
    first, last = random.choice(_FIRST), random.choice(_LAST)
    name = random.choice(
        [f"{first}.{last}", f"{first[0]}{last}", f"{first}_{random.randint(1, 99)}", f"{last}+{first}"]
    )
    host = random.choice(["mail", "post", "contoso", "fabrikam", "northwind", "uni-lindau", "k-und-k"])
    return f"{name}@{host}{random.choice(['.com', '.org', '.co.uk', '.de', '.io', '.com.br', '.example', '.internal'])}"


_PHONES = [
    "+1 415 555 01##",
    "(415) 555-01##",
    "212-555-01##",
    "1-312-555-01##",
    "415.555.01##",
    "+44 20 7946 09##",
    "020 7946 09##",
    "+49 30 23125 1##",
    "030 23125 1##",
    "+33 1 99 00 12 ##",
    "01 99 00 12 ##",
    "+91 98765 432##",
    "+61 3 5550 12##",
    "+48 601 123 4##",
    "+55 11 95555-12##",
    "+39 06 9876 54##",
    "+34 612 345 6##",
]


def phone(random: Random) -> str:
    return "".join(
        random.choice(string.digits) if letter == "#" else letter for letter in random.choice(_PHONES)
    )


def card(random: Random) -> str:
    start, sizes = random.choice([("4", (4, 4, 4, 4)), ("51", (4, 4, 4, 4)), ("2221", (4, 4, 4, 4)), ("37", (4, 6, 5)),
                                  ("6011", (4, 4, 4, 4)), ("36", (4, 6, 4))])  # fmt: skip
    value = _until(random, lambda random: start + digits(random, sum(sizes) - len(start)), luhn)
    return grouped(value, sizes, random.choice([" ", "-", "", ""]))


# Account numbers: d is a digit, a is a letter.
_IBANS = {
    "AT": "d" * 16,
    "CH": "d" * 17,
    "DE": "d" * 18,
    "ES": "d" * 20,
    "FR": "d" * 23,
    "GB": "aaaa" + "d" * 14,
    "NL": "aaaa" + "d" * 10,
}


def iban(random: Random) -> str:
    country = random.choice(sorted(_IBANS))
    kinds = {"d": string.digits, "a": string.ascii_uppercase}
    account = "".join(random.choice(kinds[kind]) for kind in _IBANS[country])
    check = 98 - int("".join(str(int(letter, 36)) for letter in account + country + "00")) % 97
    value = f"{country}{check:02}{account}"
    sizes = [4] * (len(value) // 4) + ([len(value) % 4] if len(value) % 4 else [])
    return grouped(value, sizes, random.choice([" ", ""]))


def ip(random: Random) -> str:
    if random.random() < 0.6:
        return f"{random.choice([10, 81, 93, 145, 192, 203])}." + ".".join(
            str(random.randint(1, 254)) for _ in range(3)
        )
    groups = [f"{random.randint(0x1000, 0xFFFF):x}" for _ in range(6)]
    return random.choice(
        ["2001:db8:" + ":".join(groups), "2001:db8::" + ":".join(groups[:3]), "fe80::" + groups[0]]
    )


def mac(random: Random) -> str:
    octets = [f"{random.randint(0, 255):02x}" for _ in range(6)]
    return random.choice([":".join(octets), "-".join(octets).upper()])


def us_ssn(random: Random) -> str:
    return f"{random.randint(100, 665)}-{random.randint(10, 99)}-{random.randint(1000, 9999)}"


def us_itin(random: Random) -> str:
    return f"9{digits(random, 2)}-{random.choice([50, 58, 65, 70, 77, 88, 90, 94, 99])}-{digits(random, 4)}"


def uk_nhs(random: Random) -> str:
    def valid(value: str) -> bool:
        return (11 - _weighted(value[:9], range(10, 1, -1)) % 11) % 11 == int(value[9])

    value = _until(random, lambda random: str(random.randint(4, 7)) + digits(random, 9), valid)
    return grouped(value, (3, 3, 4), random.choice([" ", "-", ""]))


def uk_nino(random: Random) -> str:
    value = (
        random.choice(["AB", "CE", "HJ", "JG", "PW", "SX", "YK"]) + digits(random, 6) + random.choice("ABCD")
    )
    return random.choice([value, grouped(value, (2, 2, 2, 2, 1), " ")])


def es_nif(random: Random) -> str:
    number = digits(random, 8)
    return number + random.choice(["", "-"]) + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def es_nie(random: Random) -> str:
    series, number = random.choice("XYZ"), digits(random, 7)
    return series + number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(str("XYZ".index(series)) + number) % 23]


_ODD_VALUES = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]


def it_fiscal_code(random: Random) -> str:
    name = random.choice(["RSSMRA", "BNCLGU", "VRDGPP", "FRRLSN", "GLLCHR"])
    body = f"{name}{random.randint(50, 99)}{random.choice('ABCDEHLMPRST')}{random.randint(1, 28):02}"
    body += random.choice(["H501", "F205", "L219", "A944"])
    values = [int(letter) if letter.isdigit() else ord(letter) - 65 for letter in body]
    total = sum(_ODD_VALUES[value] if index % 2 == 0 else value for index, value in enumerate(values))
    return body + chr(65 + total % 26)


def pl_pesel(random: Random) -> str:
    body = f"{random.randint(50, 99)}{random.randint(1, 12):02}{random.randint(1, 28):02}{digits(random, 4)}"
    return body + str(-_weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10)


def sg_fin(random: Random) -> str:
    series, number = random.choice("STFG"), digits(random, 7)
    total = _weighted(number, (2, 7, 6, 5, 4, 3, 2)) + (4 if series in "TG" else 0)
    return series + number + ("JZIHGFEDCBA" if series in "ST" else "XWUTRQPNMLK")[total % 11]


def au_tfn(random: Random) -> str:
    value = _until(random, lambda random: "1" + digits(random, 8),
                   lambda value: _weighted(value, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0)  # fmt: skip
    return grouped(value, (3, 3, 3), random.choice([" ", ""]))


def au_abn(random: Random) -> str:
    def valid(value: str) -> bool:
        return (_weighted(value, (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) - 10) % 89 == 0

    value = _until(random, lambda random: str(random.randint(11, 99)) + digits(random, 9), valid)
    return grouped(value, (2, 3, 3, 3), random.choice([" ", ""]))


def au_medicare(random: Random) -> str:
    body = str(random.randint(2, 6)) + digits(random, 7)
    value = body + str(_weighted(body, (1, 3, 7, 9, 1, 3, 7, 9)) % 10) + str(random.randint(1, 9))
    return random.choice([value, grouped(value, (4, 5, 1), " ")])


def in_pan(random: Random) -> str:
    letters = random.choices(string.ascii_uppercase, k=5)
    return (
        "".join(letters[:3])
        + "P"
        + letters[4]
        + str(random.randint(1000, 9999))
        + random.choice("ABCDEFGHJK")
    )


_D5 = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5], [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
       [3, 4, 0, 1, 2, 8, 9, 5, 6, 7], [4, 0, 1, 2, 3, 9, 5, 6, 7, 8], [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
       [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3], [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
       [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]]  # fmt: skip
_TURN = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def verhoeff(value: str) -> bool:
    state, permutation = 0, list(range(10))
    for digit in reversed(value):
        state = _D5[state][permutation[int(digit)]]
        permutation = [permutation[_TURN[place]] for place in range(10)]
    return state == 0


def in_aadhaar(random: Random) -> str:
    value = _until(random, lambda random: str(random.randint(2, 9)) + digits(random, 11), verhoeff)
    return grouped(value, (4, 4, 4), random.choice([" ", "-", ""]))


def de_tax_id(random: Random) -> str:
    """Ten digits of which one comes twice, and the check digit of ISO 7064, MOD 11,10."""
    order = random.sample(string.digits, 10)
    order[order.index("0")] = order[0] if order[0] != "0" else order[1]
    if order[0] == "0":
        order.reverse()
    product = 10
    for digit in order:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return "".join(order) + str((11 - product) % 10)


def ca_sin(random: Random) -> str:
    value = _until(random, lambda random: random.choice("12345679") + digits(random, 8), luhn)
    return grouped(value, (3, 3, 3), random.choice([" ", "-", ""]))


def medical_license(random: Random) -> str:
    number = digits(random, 6)
    odd, even = sum(map(int, number[::2])), sum(map(int, number[1::2]))
    return (
        random.choice("ABFGMR") + random.choice(string.ascii_uppercase) + number + str((odd + 2 * even) % 10)
    )


def us_passport(random: Random) -> str:
    return random.choice(["4", "5", "A", "C"]) + digits(random, 8)


def crypto(random: Random) -> str:
    body = random.choice([b"\x00", b"\x05"]) + random.randbytes(20)
    number = int.from_bytes(body + hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4], "big")
    address = ""
    while number:
        number, rest = divmod(number, 58)
        address = _BASE58[rest] + address
    return "1" * (len(body) - len(body.lstrip(b"\x00"))) + address
