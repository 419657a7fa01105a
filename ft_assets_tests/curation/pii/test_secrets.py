"""Secrets are found by their issuer's form or by the word before them; code that speaks of secrets stays."""

from random import Random

import pytest

from benchmarks.pii_secrets import secrets
from ft_assets.curation.redaction import redact


@pytest.mark.parametrize(("frame", "value"), secrets(Random(7), each=3))
def test_the_secret_is_replaced_and_its_surroundings_stay(frame: str, value: str) -> None:
    assert redact(frame.format(value)) == (frame.format("<SECRET_1>"), {"SECRET": 1})


def test_a_service_account_file_loses_its_key() -> None:
    key = "-----BEGIN PRIVATE KEY-----\\nMIIE1\\n-----END PRIVATE KEY-----"
    text = f'{{"private_key_id": "{"0123456789abcdef" * 2}", "private_key": "{key}\\n"}}'
    assert redact(text)[0] == '{"private_key_id": "<SECRET_1>", "private_key": "<SECRET_2>\\n"}'


@pytest.mark.parametrize(
    "code",
    [
        "token = tokens[0]; self.token = token2id[word]",
        "login(user=user1, password=password1)",
        "f(\n    token=token1,\n    secret=secret2\n)",
        'tokenizer = load("gpt2")\ntokenizer="gpt2-medium"',
        "secret: base64-encoded bytes; password: sha256(salt + password)",
        "API_KEY = os.environ['API_KEY_1']",
        "password: ${PASSWORD_1}",
        "token: str = 'abc'",
        "pwd=/home/user1",
        "see https://example.com:8080/a and ftp://host1:21/x@y",
        "url = f'postgres://{user}:{password}@{host}/db'",
    ],
)
def test_code_about_secrets_stays(code: str) -> None:
    assert redact(code) == (code, {})


def test_a_variable_in_an_environment_file_is_a_secret() -> None:
    assert redact("HOST=a\nDB_PASSWORD=hunter22\n")[0] == "HOST=a\nDB_PASSWORD=<SECRET_1>\n"
