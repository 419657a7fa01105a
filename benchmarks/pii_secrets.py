"""Invented secrets in the forms that their issuers give them. They open nothing."""

import string
from random import Random

from benchmarks.pii_values import chars, digits

_HEX = "0123456789abcdef"
_UPPER = string.ascii_uppercase + string.digits
_BASE64 = string.ascii_letters + string.digits + "+/"


def _private_key(random: Random) -> str:
    kind = random.choice(["RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "PRIVATE KEY"])
    lines = "\n".join(chars(random, 64, _BASE64) for _ in range(6))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----"


_FORMS = {
    "aws": lambda r: random_of(r, "AKIA", "ASIA") + chars(r, 16, _UPPER).upper(),
    "google": lambda r: "AIza" + chars(r, 35),
    "github": lambda r: random_of(r, "ghp_", "gho_", "ghs_") + chars(r, 36),
    "github fine-grained": lambda r: "github_pat_" + chars(r, 22) + "_" + chars(r, 59),
    "gitlab": lambda r: "glpat-" + chars(r, 20),
    "slack": lambda r: f"xoxb-{digits(r, 12)}-{digits(r, 12)}-{chars(r, 24)}",
    "slack webhook": lambda r: (
        f"hooks.slack.com/services/T{chars(r, 9, _UPPER)}/B{chars(r, 9, _UPPER)}/{chars(r, 24)}"
    ),
    "stripe": lambda r: random_of(r, "sk_live_", "rk_live_", "sk_test_") + chars(r, 24),
    "sendgrid": lambda r: f"SG.{chars(r, 22)}.{chars(r, 43)}",
    "twilio": lambda r: "SK" + chars(r, 32, _HEX),
    "openai": lambda r: "sk-proj-" + chars(r, 48),
    "anthropic": lambda r: "sk-ant-api03-" + chars(r, 90),
    "hugging face": lambda r: "hf_" + chars(r, 34),
    "npm": lambda r: "npm_" + chars(r, 36),
    "pypi": lambda r: "pypi-" + chars(r, 90),
    "jwt": lambda r: f"eyJ{chars(r, 30)}.eyJ{chars(r, 60)}.{chars(r, 43)}",
    "telegram": lambda r: f"{digits(r, 9)}:AA{chars(r, 33)}",
    "private key": _private_key,
}
# The secret is what follows the last word.
_IN_PLACE = {
    "postgres://app:{}@db.internal:5432/orders": lambda r: chars(r, 12),
    "AccountName=shop;AccountKey={};EndpointSuffix=core.windows.net": lambda r: chars(r, 86, _BASE64) + "==",
    "mongodb+srv://root:{}@cluster0.mongodb.net/test": lambda r: chars(r, 16),
    'The password: "{}" works for me.': lambda r: chars(r, 10),
    "DB_PASSWORD={}\nDB_HOST=db1": lambda r: chars(r, 14),
    "aws_secret_access_key = {}": lambda r: chars(r, 38, _BASE64) + "/a",
    "curl -H 'Authorization: Bearer {}' https://api.example.com": lambda r: chars(r, 40),
    "api_key='{}'": lambda r: chars(r, 32, _HEX),
    "GET /v1/items?access_token={}&page=2": lambda r: chars(r, 24),
    '{{"client_secret": "{}"}}': lambda r: chars(r, 30),
    "my password is {}, please reset it": lambda r: chars(r, 9),
}


def random_of(random: Random, *options: str) -> str:
    return random.choice(options)


def secrets(random: Random, each: int) -> list[tuple[str, str]]:
    """Sentences with a place for a secret (`{}`), and the secret."""
    frames = ["use {} here", "export KEY={}", 'client = Client("{}")', "It printed {} and then nothing."]
    pairs = [(random.choice(frames), make(random)) for make in _FORMS.values() for _ in range(each)]
    return pairs + [(frame, make(random)) for frame, make in _IN_PLACE.items() for _ in range(each)]
