"""Personal data and secrets never stay; code and numbers that are neither do."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.curation.redaction import Redactor, redact

_KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to Joe.O'Neil+x@mail.example.co.uk.", "Write to <EMAIL_1>."),
        ("joe@example.com, JOE@example.com, ann@example.com", "<EMAIL_1>, <EMAIL_1>, <EMAIL_2>"),
        ("call +49 171 1234567 now", "call <PHONE_1> now"),
        ("(555) 234-5678 is 555-234-5678", "<PHONE_1> is <PHONE_1>"),
        ("Tel.: 030/12345678", "Tel.: <PHONE_1>"),
        ("card 4111 1111 1111 1111.", "card <CARD_1>."),
        ("4111-1111-1111-1111 and 4111111111111111", "<CARD_1> and <CARD_1>"),
        ("from 203.0.113.9:80", "from <IP_1>:80"),
        ("from 2001:db8::8a2e:370:7334!", "from <IP_1>!"),
        ("from ::ffff:203.0.113.9 and ::ffff:127.0.0.1", "from <IP_1> and ::ffff:127.0.0.1"),
        ("id AKIAIOSFODNN7EXAMPLE", "id <SECRET_1>"),
        ("ghp_" + "a1B2" * 9, "<SECRET_1>"),
        ("Authorization: Bearer abcdef1234567890", "Authorization: Bearer <SECRET_1>"),
        ('{"Authorization": "token abcdef1234567890"}', '{"Authorization": "token <SECRET_1>"}'),
        ("postgres://bob:hunter2@db/x", "postgres://bob:<SECRET_1>@db/x"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPx", "aws_secret_access_key = <SECRET_1>"),
        ('password: "hunter22"', 'password: "<SECRET_1>"'),
        (f"key:\n{_KEY}\nend", "key:\n<SECRET_1>\nend"),
        (_KEY.partition("-----END")[0], "<SECRET_1>"),
    ],
)
def test_personal_data_and_secrets_become_placeholders(text: str, expected: str) -> None:
    assert redact(text)[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "a[::2] + b[1:] == c::d and std::vector",
        "127.0.0.1, 0.0.0.0, 255.255.255.0, ::1",
        "at 12:30:45 on 2026-11-21 10:05, took 1234567890 ns",
        "password=password, token = self.next_token(), pwd=None",
        "def f(token: str) -> bytes: return key[:16]",
        "4111 1111 1111 1112 and 0000000000000000",
        "@property\ndef name(self): x @ y",
        "pi is 3.14159265358979323846, 1e-10, 0xdeadbeef, uuid 123e4567-e89b-12d3-a456-426614174000",
        "see RFC 2822, sections 3.4.1 and 3.4.2; version 1.13.27",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redact(text) == (text, {})


def test_counts_are_by_type() -> None:
    assert redact("a@example.com a@example.com 203.0.113.9")[1] == {"EMAIL": 2, "IP": 1}


def test_a_value_has_one_placeholder_in_all_turns_of_a_row() -> None:
    redactor = Redactor()
    assert redactor.text("I am ann@example.com") == "I am <EMAIL_1>"
    assert redactor.text("bob@example.com or ann@example.com?") == "<EMAIL_2> or <EMAIL_1>?"


def test_tool_calls_are_redacted_inside_and_stay_json() -> None:
    arguments = json.dumps({"card": 4111111111111111, "to": ["ann@example.com"], "n": 3, "ok": True})
    calls = json.dumps([{"function": {"name": "pay", "arguments": arguments}}])
    redacted = json.loads(Redactor().json(calls))
    assert json.loads(redacted[0]["function"]["arguments"]) == {
        "card": "<CARD_1>",
        "to": ["<EMAIL_1>"],
        "n": 3,
        "ok": True,
    }


def test_tool_calls_without_personal_data_keep_every_byte() -> None:
    calls = '[{"b": "{\\"z\\": 1,  \\"a\\": 2}", "a": 1.50}]'
    assert Redactor().json(calls) == calls


def test_broken_or_deep_json_is_redacted_as_text() -> None:
    assert Redactor().json('{"to": ann@example.com') == '{"to": <EMAIL_1>'
    assert "@" not in Redactor().json("[" * 100_000 + "ann@example.com")


_emails = st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.com", fullmatch=True)


@given(st.lists(_emails, min_size=1, max_size=5), st.text())
def test_no_planted_address_survives_and_equal_ones_stay_equal(emails: list[str], noise: str) -> None:
    text, counts = redact(f" {noise} ".join(["", *emails, ""]))
    assert not any(f" {email} " in text for email in emails)
    assert counts["EMAIL"] >= len(emails)


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once, _ = redact(text)
    assert redact(once) == (once, {})


_PARTS = ["ann@example.com", "+49 171 1234567", "tel", "4155550132", "4111 1111 1111 1111", "password: hunter22",
          "<EMAIL_1>", "<", ">", "203.0.113.9", "ssn", "536-22-8145", "token=", "://a:b@", "\u200b", "９"]  # fmt: skip


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(_PARTS), st.sampled_from(["", " ", ", ", "\n", ": "])), max_size=12)
)
def test_a_redacted_text_is_never_redacted_again(parts: list[tuple[str, str]]) -> None:
    once, _ = redact("".join(part + joint for part, joint in parts))
    assert redact(once) == (once, {})


def test_new_placeholders_leave_those_that_were_there_alone() -> None:
    redactor = Redactor()
    assert redactor.text("<EMAIL_1> and ann@example.com") == "<EMAIL_1> and <EMAIL_2>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("card ４１１１ １１１１ １１１１ １１１１", "card <CARD_1>"),
        ("4111\u200b1111\u200b11111111, 4111.1111.1111.1111", "<CARD_1>, <CARD_1>"),
        ("ann\u200b@exam\u00adple.com", "<EMAIL_1>"),
        ("电话：415-555-0132。", "电话：<PHONE_1>。"),
        ("SSN 536\u201122\u20118145", "SSN <US_SSN_1>"),
    ],
)
def test_disguised_values_are_found(text: str, expected: str) -> None:
    assert redact(text)[0] == expected


def test_the_key_of_a_value_says_what_it_is() -> None:
    call = {
        "phone": 4155550132,
        "nhs": "9434765919",
        "password": "hunter22",
        "order": 4155550132,
        "ids": [9434765919],
    }
    redacted = json.loads(Redactor().json(json.dumps(call)))
    assert redacted == {
        "phone": "<PHONE_1>",
        "nhs": "<UK_NHS_1>",
        "password": "<SECRET_1>",
        "order": 4155550132,
        "ids": [9434765919],
    }


@pytest.mark.parametrize(
    "piece",
    ["a", "a@", "a.", "1.", "1 ", "1", "11-", "+1", "1a", ":a", "1:", "a@a.", "eyJaaaaaaaa.", "eyJ-", "sk-a1",
     "-----BEGIN PRIVATE KEY-----", "token=", "token=a1b2c3 ", "1234-", "phone ", "a://", "a://b:", "bearer ", "DE89",
     "(415) ", "4111 ", "415-555-0132 ", "0.0.0.0", "::1", "ann@example.com ", "user7@example.com ", "é@", "９",
     "\u200b1"],
)  # fmt: skip
def test_a_hundred_kilobytes_of_bait_end(piece: str) -> None:
    redact(piece * (100_000 // len(piece)))


@settings(max_examples=300)
@given(st.text() | st.binary().map(lambda raw: raw.decode(errors="surrogateescape")))
def test_any_text_is_answered(text: str) -> None:
    Redactor().json(text)
    Redactor().text(text)
