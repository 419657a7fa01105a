"""A small HTTP server that speaks vLLM's protocol (as 0.32.0 did when it was asked), over our own engine.

So answers are real, and can be compared with those of the same engine asked directly.
"""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from ft_assets.evaluation.decoding import Token
from ft_assets.evaluation.generation import Engine, Request
from ft_assets.serving.engine import EngineThread


class VllmServer:
    """Listens between `start` and `stop`; whoever starts it anew finds no adapters, as with vLLM.

    Attributes:
        root: folder that it says its base comes from.
        max_model_len: room that it says it has.
        fails: an HTTP status that completions are answered with, while it is set.
        breaks_after: tokens after which a completion is given up, the way vLLM does it when its engine dies.
        updating: whether adapters may be changed.
        asked: bodies of completions.
    """

    def __init__(self, base: Path) -> None:
        self.root = str(base)
        self.max_model_len = 1 << 20
        self.fails: int | None = None
        self.breaks_after: int | None = None
        self.updating = True
        self.asked: list[dict[str, Any]] = []
        self.engine = EngineThread(Engine.load(base), max_batch=8)
        self.engine.start()
        self._adapters: dict[str, str] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def loaded(self) -> list[str]:
        """Adapters that it has, sorted."""
        return sorted(self._adapters)

    def start(self) -> None:
        """Listen, once more with no adapter."""
        self._adapters.clear()
        options = {"log_config": None, "lifespan": "off", "timeout_graceful_shutdown": 0}
        settings = uvicorn.Config(self._app(), host="127.0.0.1", port=self._port, **options)
        self._server = uvicorn.Server(settings)
        ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(ready),))
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        """Break off what runs, and listen no more."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()

    def forget(self, name: str) -> None:
        """Lose an adapter, as a restart would."""
        del self._adapters[name]

    async def _run(self, ready: threading.Event) -> None:
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.01)
        ready.set()
        await serving

    def _app(self) -> Starlette:
        routes = [Route("/v1/models", self._models)]
        routes.append(Route("/v1/completions", self._complete, methods=["POST"]))
        if self.updating:
            routes.append(Route("/v1/load_lora_adapter", self._load, methods=["POST"]))
            routes.append(Route("/v1/unload_lora_adapter", self._unload, methods=["POST"]))
        return Starlette(routes=routes)

    async def _models(self, _: HttpRequest) -> Response:
        base = {"id": "the-base", "root": self.root, "parent": None, "max_model_len": self.max_model_len}
        adapters = [
            {"id": name, "root": root, "parent": "the-base", "max_model_len": None}
            for name, root in self._adapters.items()
        ]
        return JSONResponse({"object": "list", "data": [base, *adapters]})

    async def _load(self, http: HttpRequest) -> Response:
        body = await http.json()
        name, path = body["lora_name"], body["lora_path"]
        if name in self._adapters:
            return _problem(400, f"The lora adapter '{name}' has already been loaded.")
        if not (Path(path) / "adapter_config.json").is_file():
            return _problem(404, f"Loading lora {name} failed: No adapter found for <path>")
        await self.engine.add_adapter(name, Path(path))
        self._adapters[name] = path
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, http: HttpRequest) -> Response:
        name = (await http.json())["lora_name"]
        if self._adapters.pop(name, None) is None:
            return _problem(404, f"The lora adapter '{name}' cannot be found.")
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def _complete(self, http: HttpRequest) -> Response:
        body = await http.json()
        self.asked.append(body)
        if self.fails is not None:
            return _problem(self.fails, "so it was told")
        name = body["model"]
        if name != "the-base" and name not in self._adapters:
            return _problem(404, f"The model `{name}` does not exist.")
        return StreamingResponse(self._events(body), media_type="text/event-stream")

    async def _events(self, body: dict[str, Any]) -> AsyncIterator[str]:
        async with aclosing(self.engine.stream(_request(body))) as tokens:
            count = 0
            async for token in tokens:
                if count == self.breaks_after:
                    yield f"data: {json.dumps({'error': {'message': 'so it was told'}})}\n\n"
                    break
                yield f"data: {json.dumps(_chunk(token), ensure_ascii=False)}\n\n"
                count += 1
        yield "data: [DONE]\n\n"


def _request(body: dict[str, Any]) -> Request:
    assert body["stream"] and body["return_token_ids"] and body["return_tokens_as_token_ids"]
    return Request(
        messages=[],
        adapter=None if body["model"] == "the-base" else body["model"],
        max_new_tokens=body["max_tokens"],
        temperature=body["temperature"],
        top_p=body["top_p"],
        seed=body["seed"],
        logprobs=body["logprobs"],
        prompt_ids=body["prompt"],
    )


def _chunk(token: Token) -> dict[str, Any]:
    assert token.odds is not None
    told = {
        "tokens": [f"token_id:{token.token_id}"],
        "token_logprobs": [token.odds[0][1]],
        "top_logprobs": [{f"token_id:{token_id}": value for token_id, value in token.odds}],
    }
    # What the text is does not matter, but it may hold what some would take for the end of a line.
    choice = {"index": 0, "text": "\u2028", "token_ids": [token.token_id], "logprobs": told}
    return {"choices": [{**choice, "finish_reason": token.finish}]}


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "code": status}}, status)
