"""A bare BentoML endpoint, for `serving_overhead.py` to stand beside ours: the same engine, and nothing around it.

It reads JSON, answers with one token of the base that `FT_ASSETS_BASE` names, and does nothing else: no keys, no
checks, no routing, no rows, and neither BentoML's metrics nor its log of requests, which ours does without as well.
"""

import bentoml  # noqa: TID253 (only BentoML's own processes import this module)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ft_assets.storage.home import Home


async def _answer(http: Request) -> JSONResponse:
    from ft_assets.evaluation import generation

    body = await http.json()
    asked = generation.Request(body["messages"], None, body["max_tokens"])
    text = "".join([token.text async for token in app.state.engine.stream(asked)])
    return JSONResponse({"choices": [{"message": {"role": "assistant", "content": text}}]})


app = Starlette(routes=[Route("/v1/chat/completions", _answer, methods=["POST"])])


@bentoml.service(name="bare", workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(app, path="/")
class Service:
    """Mounted and started as ours is."""

    @bentoml.on_startup
    async def start(self) -> None:
        """Load the base."""
        import os

        from ft_assets.evaluation.generation import Engine
        from ft_assets.serving.engine import EngineThread

        app.state.engine = EngineThread(
            Engine.load(Home().artifacts.path("bases", os.environ["FT_ASSETS_BASE"]))
        )
        app.state.engine.start()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """End the engine's thread."""
        await app.state.engine.stop()
