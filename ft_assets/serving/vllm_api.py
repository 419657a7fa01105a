"""The part of vLLM's HTTP API that we use, as plain calls: models, adapters, and one streamed completion.

Tokens come as ids, never as text: our tokenizer spells them, so that texts are those of the other engine.

Environment:
    VLLM_API_KEY: sent along, if vLLM was started with one (it reads the same variable).
"""

import json
import math
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ft_assets.serving.engine import Busy, EngineFailed

CONNECT_SECONDS = 5.0
LIST_SECONDS = 10.0
TOKEN_SECONDS = 170.0
"""How long the next token may take; less than the service gives a request for its first byte."""
_ID = "token_id:"


class Unreachable(EngineFailed):
    """vLLM does not answer at all, whatever is asked."""


class NotThere(EngineFailed):
    """vLLM has no model or adapter of that name."""


@dataclass(frozen=True)
class Card:
    """An entry of `/v1/models`: a base (`parent` None) or an adapter, and the folder that it was read from."""

    name: str
    root: str
    parent: str | None
    max_model_len: int | None


@dataclass(frozen=True)
class Step:
    """One token. `odds` as in `Token`, None where its probability is no number."""

    token_id: int
    odds: tuple[tuple[int, float], ...] | None


class VllmApi:
    """A client of one vLLM server.

    Args:
        url: such as `http://127.0.0.1:8000`.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        key = os.environ.get("VLLM_API_KEY")
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(TOKEN_SECONDS, connect=CONNECT_SECONDS),
            # Who may ask is decided before; and vLLM closes what is idle for 5 s, perhaps while we write to it.
            limits=httpx.Limits(max_connections=None, keepalive_expiry=2.0),
            trust_env=False,  # a proxy of the environment would be asked for loopback too
        )

    async def models(self) -> dict[str, Card]:
        """What is served, by name.

        Raises:
            Unreachable, EngineFailed: there is no list.
        """
        with self._told():
            response = await self._http.get("/v1/models", timeout=LIST_SECONDS)
        cards = self._checked(response).json()["data"]
        found = [Card(card["id"], card["root"], card["parent"], card["max_model_len"]) for card in cards]
        return {card.name: card for card in found}

    async def load(self, name: str, folder: Path) -> None:
        """Load an adapter. Raises NotThere if vLLM cannot see the folder or may load none, else what `models` does."""
        await self._post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})

    async def unload(self, name: str) -> None:
        """Forget an adapter. Raises NotThere, or what `models` does."""
        await self._post("/v1/unload_lora_adapter", {"lora_name": name})

    async def complete(self, body: Mapping[str, Any]) -> AsyncGenerator[Step, None]:
        """Tokens of one completion as they come; closing the iterator ends the work.

        Args:
            body: of `/v1/completions`, without what says how tokens come back.

        Raises:
            Busy, NotThere, Unreachable, EngineFailed.
        """
        form = {"stream": True, "return_token_ids": True, "return_tokens_as_token_ids": True}
        with self._told():
            async with self._http.stream("POST", "/v1/completions", json={**body, **form}) as response:
                if response.status_code != 200:
                    await response.aread()
                self._checked(response)
                async with aclosing(_events(response)) as events:
                    async for event in events:
                        for step in _steps(event, body["logprobs"]):
                            yield step

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def _post(self, path: str, body: Mapping[str, Any]) -> None:
        with self._told():
            response = await self._http.post(path, json=body)
        self._checked(response)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Failures of the connection, in words."""
        try:
            yield
        except httpx.ConnectError as error:
            raise Unreachable(f"nothing listens at {self.url}, where vLLM should") from error
        except httpx.TimeoutException as error:
            raise Unreachable(f"vLLM at {self.url} took too long ({type(error).__name__})") from error
        except httpx.TransportError as error:
            raise Unreachable(f"vLLM at {self.url} broke off: {error or type(error).__name__}") from error

    def _checked(self, response: httpx.Response) -> httpx.Response:
        status = response.status_code
        if status == 200:
            return response
        why = f"vLLM at {self.url} answered {status}: {_message(response)}"
        if status == 429:
            raise Busy(why)
        if status == 503:
            raise Unreachable(why)
        raise (NotThere if status == 404 else EngineFailed)(why)


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:500]


async def _events(response: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    """The data of server-sent events. (httpx's own lines also end at U+2028 and its like, which JSON may hold.)"""
    rest = b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if not line.startswith(b"data:") or data == b"[DONE]":
                continue
            event = json.loads(data)
            if "error" in event:  # it began well, so it is vLLM that broke, and not what was asked
                raise Unreachable(f"vLLM gave the answer up: {event['error']['message']}")
            yield event


def _steps(event: Mapping[str, Any], alternatives: int) -> Iterator[Step]:
    for choice in event["choices"]:
        ids = choice.get("token_ids")
        if ids is None:
            raise EngineFailed("vLLM gives no token ids; a newer one is needed")
        for at, token_id in enumerate(ids):
            yield Step(token_id, _odds(choice["logprobs"], at, token_id, alternatives))


def _odds(
    told: Mapping[str, Any], at: int, token_id: int, alternatives: int
) -> tuple[tuple[int, float], ...] | None:
    """(id, logarithm of probability) of the chosen token, then of the likeliest."""
    chosen = told["token_logprobs"][at]
    if chosen is None or not math.isfinite(chosen):
        return None
    others = told["top_logprobs"][at] if alternatives else {}
    known = [(int(name.removeprefix(_ID)), value) for name, value in others.items() if value is not None]
    best = sorted(known, key=lambda pair: -pair[1])[:alternatives]
    return ((token_id, chosen), *best)
