"""The application behind uvicorn in a thread of the test, where its settings can be changed."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from ft_assets.serving.app import build_app
from ft_assets.serving.connections import BoundedProtocol
from ft_assets.storage.home import Home
from ft_assets_tests.serving.conftest import until


@contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    """The port at which an application answers for the length of the block."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        server = uvicorn.Server(uvicorn.Config(app, http=BoundedProtocol, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive(), seconds=60)
            yield door.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def whole_application(home: Home) -> Starlette:
    """All that a worker runs, with the base that `FT_ASSETS_BASE` names; mounted, as BentoML does it."""
    from ft_assets.serving.runtime import Runtime

    app = build_app(())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        app.state.runtime = await Runtime.start(home)
        yield
        await app.state.runtime.stop()

    return Starlette(routes=[Mount("/", app)], lifespan=lifespan)
