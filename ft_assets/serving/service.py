"""The BentoML service: `bentoml serve ft_assets.serving.service:Service`, or better `ft-assets serve`.

BentoML's supervisor imports this module too, so torch comes in only when the worker starts.

Environment:
    FT_ASSETS_HOME, FT_ASSETS_BASE: the installation, and the digest of the base model to serve.
    FT_ASSETS_API_KEYS_FILE: see `access.py`.
"""

import logging

import bentoml  # noqa: TID253 (only BentoML's own processes import this module)

from ft_assets.serving import connections
from ft_assets.serving.access import read_keys
from ft_assets.serving.app import build_app
from ft_assets.serving.closed import Closed
from ft_assets.serving.launch import CANNOT_START
from ft_assets.storage.home import Home

log = logging.getLogger(__name__)

FIRST_BYTE_SECONDS = 180
"""A request that gets no first byte within this time is given up with 504. BentoML keeps something of each request for
as long, about 5 KB, so more would cost memory."""

connections.use()
app = build_app(read_keys())


@bentoml.service(
    name="ft_assets",
    workers=1,
    traffic={"timeout": FIRST_BYTE_SECONDS},
    metrics={"enabled": False},  # `/metrics` is ours: see metrics.py
    logging={"access": {"enabled": False}},  # a line for each request would fill the disk in the end
)
@bentoml.asgi_app(app, path="/")
class Service:
    """One worker, because each would hold its own copy of the model."""

    @bentoml.on_startup
    async def start(self) -> None:
        """Load everything; if that cannot be done, the whole server ends."""
        from ft_assets.serving.runtime import Runtime, stop_server

        try:
            app.state.runtime = await Runtime.start(Home())
        except Exception as error:
            log.error("%s %s: %s", CANNOT_START, type(error).__name__, error)
            stop_server()
            raise

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Finish what is being written."""
        await app.state.runtime.stop()

    async def __is_ready__(self) -> bool:
        return app.state.runtime.ready

    async def __is_alive__(self) -> bool:
        return app.state.runtime.alive


Service.add_asgi_middleware(Closed)  # type: ignore[arg-type]  # BentoML takes a class, and its types say otherwise
