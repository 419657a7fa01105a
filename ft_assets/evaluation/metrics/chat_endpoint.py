"""One question to a model behind an OpenAI-compatible API."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from ft_assets.errors import BrokenEnvironment, WrongInput

_SECONDS = 120.0
_ATTEMPTS = 4
_LONGEST_PAUSE = 30.0  # whatever a server asks for
_ANSWER_TOKENS = 1_024  # room for a few reasons before the verdict
_BUSY = 429


@dataclass(frozen=True)
class Reply:
    """What the model said, and the tokens that it read and wrote (0 where the server does not tell)."""

    text: str
    tokens: int


class ChatEndpoint:
    """`<url>/chat/completions` of one model. Several threads may ask at once.

    Args:
        key: sent as a bearer token; None sends none.
        seconds: longest wait for one reply.
        pause: seconds before a failed request is sent again; doubled each time.
    """

    def __init__(
        self, url: str, model: str, key: str | None = None, seconds: float = _SECONDS, pause: float = 1.0
    ) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._client = httpx.Client(headers=headers, timeout=seconds)
        self._url, self._model = f"{url.rstrip('/')}/chat/completions", model
        self._key, self._pause = key, pause

    def ask(self, turns: Sequence[Mapping[str, str]]) -> Reply:
        """The model's answer at temperature 0.

        A server that is busy, broken, or out of reach is asked four times in all.

        Raises:
            BrokenEnvironment: it is so every time, or it refuses the request.
        """
        body = {"model": self._model, "messages": [*turns], "temperature": 0, "max_tokens": _ANSWER_TOKENS}
        for attempt in range(1, _ATTEMPTS + 1):
            answer = self._try(body)
            if isinstance(answer, Reply):
                return answer
            if answer.final or attempt == _ATTEMPTS:
                break
            time.sleep(min(max(answer.wait, self._pause * 2 ** (attempt - 1)), _LONGEST_PAUSE))
        raise BrokenEnvironment(
            f"the judge at {self._url} gave no answer ({answer.reason}); see that {self._model!r} is served there, "
            "then run the evaluation again: it goes on with what is not judged yet"
        )

    def _try(self, body: Mapping[str, Any]) -> "Reply | _Trouble":
        try:
            response = self._client.post(self._url, json=body)
        except httpx.TransportError as error:
            return _Trouble(f"{type(error).__name__}: {error}")
        if response.is_success and (reply := _read(response)):
            return reply
        said = response.text.replace(self._key or "\0", "…")[:200]
        wait = response.headers.get("retry-after", "")
        return _Trouble(
            reason=f"{response.status_code} {said!r}",
            final=response.is_client_error and response.status_code != _BUSY,
            wait=float(wait) if wait.isdecimal() else 0.0,
        )


@dataclass(frozen=True)
class _Trouble:
    """Why there is no reply, whether asking again is useless, and how long the server wants to be left alone."""

    reason: str
    final: bool = False
    wait: float = 0.0


def read_key(variable: str | None) -> str | None:
    """The API key in an environment variable; None where none is asked for.

    Raises:
        WrongInput: the variable is not set, or holds what no header can; its value is not told.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise WrongInput(
            f"the environment variable {variable}, which evaluation.metrics names as the judge's `key_variable`, holds "
            "no API key where evaluation runs; set it there, or leave `key_variable` out"
        )
    return key


def _read(response: httpx.Response) -> Reply | None:
    try:
        body: Any = response.json()
        text = body["choices"][0]["message"]["content"]
        tokens = (body.get("usage") or {}).get("total_tokens") or 0
        return Reply(str(text or ""), int(tokens))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
