"""Secrets: keys and tokens by the form that their issuer gave them, passwords by the word before them."""

import re
from collections.abc import Callable

from ft_assets.curation.pii.recogniser import Find, Recogniser, Spans

# What a token starts with, and the rest of it. The start is what the screen looks for.
_TOKENS: dict[str, str] = {
    "AKIA": r"[0-9A-Z]{16}",  # AWS access key id, of a user
    "ASIA": r"[0-9A-Z]{16}",  # AWS access key id, of a session
    "AIza": r"[\w-]{35}",  # Google API key
    "ya29.": r"[\w-]{20,500}",  # Google OAuth access token
    "GOCSPX-": r"[\w-]{28}",  # Google OAuth client secret
    "ghp_": r"[A-Za-z0-9]{36,255}",  # GitHub: personal, OAuth, user, server, refresh, fine-grained
    "gho_": r"[A-Za-z0-9]{36,255}",
    "ghu_": r"[A-Za-z0-9]{36,255}",
    "ghs_": r"[A-Za-z0-9]{36,255}",
    "ghr_": r"[A-Za-z0-9]{36,255}",
    "github_pat_": r"\w{50,255}",
    "glpat-": r"[\w-]{20,64}",  # GitLab: personal, runner, deploy
    "glrt-": r"[\w-]{20,64}",
    "gldt-": r"[\w-]{20,64}",
    "xox": r"[abeoprs]-[A-Za-z0-9-]{10,250}",  # Slack tokens
    "xapp-": r"\d-[A-Za-z0-9-]{10,250}",
    "hooks.slack.com/": r"(?:services|workflows|triggers)/[\w/+-]{20,120}",
    "discord.com/api/webhooks/": r"\d{15,22}/[\w-]{40,100}",
    "discordapp.com/api/webhooks/": r"\d{15,22}/[\w-]{40,100}",
    "sk_live_": r"[A-Za-z0-9]{16,250}",  # Stripe: secret, restricted, publishable, webhook
    "sk_test_": r"[A-Za-z0-9]{16,250}",
    "rk_live_": r"[A-Za-z0-9]{16,250}",
    "rk_test_": r"[A-Za-z0-9]{16,250}",
    "pk_live_": r"[A-Za-z0-9]{16,250}",
    "whsec_": r"[A-Za-z0-9+/=]{24,100}",
    "key-": r"[0-9a-f]{32}",  # Mailgun
    "sk-": r"(?:proj-|svcacct-|admin-|ant-|or-v1-|lf-)?[A-Za-z0-9][\w-]{30,250}",  # OpenAI, Anthropic, OpenRouter
    "gsk_": r"[A-Za-z0-9]{40,64}",  # Groq
    "xai-": r"[A-Za-z0-9]{60,100}",
    "r8_": r"[A-Za-z0-9]{37}",  # Replicate
    "hf_": r"[A-Za-z0-9]{30,64}",  # Hugging Face
    "npm_": r"[A-Za-z0-9]{36}",
    "pypi-": r"[\w-]{50,250}",
    "dop_v1_": r"[0-9a-f]{64}",  # DigitalOcean
    "shpat_": r"[0-9a-fA-F]{32}",  # Shopify
    "dckr_pat_": r"[\w-]{20,64}",  # Docker Hub
    "hvs.": r"[\w-]{24,200}",  # HashiCorp Vault
    "glsa_": r"[A-Za-z0-9]{32}_[0-9a-fA-F]{8}",  # Grafana
    "lin_api_": r"[A-Za-z0-9]{40}",  # Linear
    "ATATT3": r"[\w=-]{60,250}",  # Atlassian
    "AGE-SECRET-KEY-1": r"[0-9A-Z]{58}",
    "eyJ": r"[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",  # JSON web token
}
_MORE_TOKENS = (
    r"SG\.[\w-]{16,32}\.[\w-]{16,64}"  # SendGrid
    r"|[0-9a-f]{32}-us\d{1,2}"  # Mailchimp
    r"|\d{8,10}:AA[\w-]{33}"  # Telegram bot
)
_TWILIO = r"[SA][KC][0-9a-f]{32}"
_NAME = (
    r"(?:api[ _-]?key|access[ _-]?key|account[_-]?key|shared[_-]?access[_-]?(?:key|signature)|secret|token"
    r"|passw(?:or)?d|passwort|passwd|passcode|passphrase|pwd|private_key_id)(?:[_-]?(?:access[_-]?)?key|_?value|_?string)?"
)
_NAME_CUES = (
    "key",
    "secret",
    "token",
    "passw",
    "passc",
    "passphrase",
    "pwd",
    "sharedaccess",
    "shared_access",
)
_CREDENTIAL = re.compile(
    rf"(?i){_NAME}(?:(?P<sign>[\"']?\s{{0,3}}(?:=>|:=|[:=])\s{{0,3}}[\"'`]?)|\s(?:is|was)(?: set to)?:?\s[\"'`]?)"
    r"(?P<value>(?!https?://|[~$%&*.({]|/(?![A-Za-z0-9+/]{27,}=))(?:[^\s\"'`,;<>\[\]{}&]|&(?!\w+=)){5,512}(?<![.!?:)]))"
)
# Words with a digit that name a form of data.
_TECHNICAL = re.compile(
    r"(?i)(?:.*[^a-z])?(?:base(?:16|32|58|64)|utf-?\d|sha-?\d|md5|x509|oauth2?|[hr]s256|int\d|float\d|bytes\d|argon2)"
)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
_WORD_BEFORE = re.compile(r"\s*\w*$")
_PRIVATE_KEY = re.compile(
    r"(?P<value>-----BEGIN (?P<name>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:(?!-----BEGIN ).){0,20000}?(?:-----END (?P=name)-----|\Z))",
    re.DOTALL,
)
_AUTHORIZATION = re.compile(
    r"(?i)(?:\b(?:bearer|basic)|authorization[\"']?:\s?[\"']?token)\s+(?P<value>[\w.~+/-]{16,2000}=*)"
)
_URL_PASSWORD = re.compile(
    r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,64}:(?P<value>[^\s/@<>{}$%][^\s/@<>{}]{0,127})@"
)
_SIGNATURE = re.compile(r"(?i)[?&]sig=(?P<value>[A-Za-z0-9%+/=_-]{32,200})")


def _values(pattern: re.Pattern[str], accept: Callable[[re.Match[str]], bool] | None = None) -> Find:
    def find(text: str) -> Spans:
        return (match.span("value") for match in pattern.finditer(text) if not accept or accept(match))

    return find


def _token(body: str) -> Find:
    pattern = re.compile(rf"(?<![A-Za-z0-9])(?P<value>{body})(?![A-Za-z0-9])")
    return _values(pattern, _is_mixed)


def _is_mixed(match: re.Match[str]) -> bool:
    """Has a digit and a letter, as `password=password` in code has not."""
    value = match["value"]
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value))


def _is_credential(match: re.Match[str]) -> bool:
    """Of `login(token=token2id)`, which passes a variable, and `TOKEN=token2id`, only the second is one."""
    value, sign = match["value"], match["sign"]
    if not _is_mixed(match) or _TECHNICAL.match(value) or "(" in value:
        return False
    if sign is None or ":" in sign or sign[-1] in "\"'`" or not _IDENTIFIER.fullmatch(value):
        return True
    if sign == "=":
        return not _is_argument(match)
    return "_" not in value and len(value) > 7 and value.lower() != value != value.upper()


def _is_argument(match: re.Match[str]) -> bool:
    before = _WORD_BEFORE.sub("", match.string[max(0, match.start() - 40) : match.start()])
    return before[-1:] in ("(", ",", "[") or match.string[match.end() : match.end() + 1] in (",", ")", "]")


def _secret(find: Find, *cues: str, digits: int = 1, form: str | None = None) -> Recogniser:
    pattern = re.compile(form) if form else None
    return Recogniser(
        "SECRET", find, alone=re.compile(""), loose=True, digits=digits, cues=cues, form=pattern
    )


SECRETS: tuple[Recogniser, ...] = (
    _secret(_values(_PRIVATE_KEY), "private key", digits=0),
    _secret(
        _token("|".join(re.escape(start) + rest for start, rest in _TOKENS.items())),
        *(start.lower() for start in _TOKENS),
    ),
    _secret(_token(_MORE_TOKENS), "sg.", "-us", ":aa"),
    _secret(_token(_TWILIO), form=_TWILIO),
    _secret(_values(_AUTHORIZATION), "bearer", "basic", "authorization"),
    _secret(_values(_URL_PASSWORD), "://", digits=0, form=r"://[^\s/@]{1,200}@"),
    _secret(_values(_SIGNATURE), "sig="),
    _secret(_values(_CREDENTIAL, _is_credential), *_NAME_CUES),
)
