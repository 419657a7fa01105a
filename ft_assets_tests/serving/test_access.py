"""Keys: none on loopback, a must beyond it, and nobody learns them from us."""

import gc
import hashlib
from pathlib import Path
from types import TracebackType

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ft_assets.errors import WrongInput
from ft_assets.serving.access import KEYS_FILE, Access, is_loopback, read_keys
from ft_assets.serving.keys import ApiKey

KEY = "a-key-of-the-tests"
DIGEST = hashlib.sha256(KEY.encode())
MINE = ApiKey("mine", DIGEST.digest(), frozenset({"infer"}))
OTHER = ApiKey("other", bytes(32), frozenset({"infer"}))


async def status(at: str, keys: tuple[ApiKey, ...] | None, **headers: str) -> int:
    async def hello(_: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app = Starlette(routes=[Route("/", hello)], middleware=[Middleware(Access, lambda: keys)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{at}:80") as client:
        return (await client.get("/", headers=headers)).status_code


@pytest.mark.parametrize(
    ("host", "keys", "header", "expected"),
    [
        ("127.0.0.1", None, None, 200),
        ("[::1]", None, None, 200),
        ("10.1.2.3", None, None, 403),
        ("127.0.0.1", (), None, 401),
        ("10.1.2.3", (), None, 401),
        ("10.1.2.3", (MINE,), None, 401),
        ("127.0.0.1", (MINE,), None, 401),
        ("10.1.2.3", (MINE,), f"Bearer {KEY}", 200),
        ("10.1.2.3", (MINE,), f"bearer {KEY}", 200),
        ("10.1.2.3", (MINE,), f"Basic {KEY}", 401),
        ("10.1.2.3", (MINE,), f"Bearer {KEY}x", 401),
        ("10.1.2.3", (MINE,), f"Bearer {DIGEST.hexdigest()}", 401),
        ("10.1.2.3", (OTHER, MINE), f"Bearer {KEY}", 200),
    ],
)
def test_who_is_let_in(host: str, keys: tuple[ApiKey, ...] | None, header: str | None, expected: int):
    import asyncio

    headers = {"authorization": header} if header else {}
    assert asyncio.run(status(host, keys, **headers)) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "localhost:3000"}, 200),
        ({"host": "[::1]:3000"}, 200),
        ({"host": "127.0.0.1", "origin": "http://localhost:5173"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example:3000", "origin": "http://evil.example:3000"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "127.0.0.1@evil.example"}, 403),
        ({"host": "[nothing"}, 403),
        ({"host": ""}, 403),
        ({"host": "127.0.0.1", "origin": "http://evil.example"}, 403),
        ({"host": "127.0.0.1", "origin": "null"}, 403),
    ],
)
def test_without_keys_no_web_page_from_elsewhere_is_answered(headers: dict[str, str], expected: int):
    import asyncio

    assert asyncio.run(status("127.0.0.1", None, **headers)) == expected
    assert asyncio.run(status("127.0.0.1", (MINE,), authorization=f"Bearer {KEY}", **headers)) == 200


def test_nothing_is_kept_of_those_who_are_refused():
    import asyncio

    def tracebacks() -> int:
        gc.collect()
        return sum(isinstance(kept, TracebackType) for kept in gc.get_objects())

    asyncio.run(status("127.0.0.1", (MINE,)))
    before = tracebacks()
    assert [asyncio.run(status("127.0.0.1", (MINE,))) for _ in range(20)] == [401] * 20
    assert tracebacks() < before + 20


def test_keys_are_read_with_comments_and_blank_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "keys"
    file.write_text(f"# of the tests\n\n{DIGEST.hexdigest()}  # mine\n")
    monkeypatch.setenv(KEYS_FILE, str(file))
    (key,) = read_keys()
    assert key.digest == DIGEST.digest()
    assert [scope for scope in ("infer", "feedback", "admin") if key.may(scope)] == ["infer", "feedback"]


@pytest.mark.parametrize("content", ["", "# nothing\n", f"{KEY}\n", f"{DIGEST.hexdigest()}\n{KEY}\n"])
def test_a_useless_keys_file_is_refused_without_repeating_a_key(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "keys"
    file.write_text(content)
    monkeypatch.setenv(KEYS_FILE, str(file))
    with pytest.raises(WrongInput) as refusal:
        read_keys()
    assert KEY not in str(refusal.value)
    assert "sha256sum" in str(refusal.value)


def test_a_missing_keys_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(KEYS_FILE, str(tmp_path / "none"))
    with pytest.raises(WrongInput, match="cannot be read"):
        read_keys()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("0.0.0.0", False), ("", False)],
)
def test_loopback(host: str, expected: bool):
    assert is_loopback(host) is expected
