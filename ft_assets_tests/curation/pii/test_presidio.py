"""Presidio runs light and offline, and on any length of text."""

import json
import subprocess
import sys
from pathlib import Path

from ft_assets.curation.pii.presidio import presidio

_SCRIPT = """
import json, socket, sys

def refuse(*args, **options):
    raise AssertionError("the network was asked for")

socket.socket.connect = socket.getaddrinfo = refuse
from ft_assets.curation.redaction import redact
before = sorted({"presidio_analyzer", "phonenumbers", "tldextract"} & sys.modules.keys())
redacted = redact("ann@example.co.uk, +49 171 1234567, DE89 3704 0044 0532 0130 00")[0]
print(json.dumps([before, redacted, sorted({"torch", "transformers"} & sys.modules.keys())]))
"""


def test_it_loads_with_the_first_find_without_torch_network_or_cache(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "TLDEXTRACT_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, env=home)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == [[], "<EMAIL_1>, <PHONE_1>, <IBAN_1>", []]
    assert list(tmp_path.rglob("*")) == []


def test_torch_can_still_be_imported_afterwards() -> None:
    list(presidio("IbanRecognizer")("nothing"))
    assert sys.modules.get("torch", ...) is not None
    assert sys.modules.get("transformers", ...) is not None


def test_finds_of_long_texts_are_where_they_are_and_come_once() -> None:
    value = "4111 1111 1111 1111"
    text = "".join(f"{'x' * gap} {value} " for gap in (0, 950, 1, 289, 700, 1_000, 3, 1_299))
    found = sorted(presidio("CreditCardRecognizer")(text))
    assert [text[start:end] for start, end in found] == [value] * 8
    assert len(set(found)) == 8
