"""Our service, in which routing, recording and metrics can be switched off, for `serving_overhead.py`.

One process has both ways, because two processes of one and the same service differ by more than these cost.
`POST /benchmark/off` leaves the three out and stops the companion, `POST /benchmark/on` is the service as it is.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ft_assets.serving import metrics
from ft_assets.serving.recording import Recorder
from ft_assets.serving.routes import Choice, Picture, Routes
from ft_assets.serving.service import Service, app

__all__ = ["Service"]

_whole = True
_choose = Picture.choose
_chosen: dict[str, Choice] = {}


async def _set(request: Request) -> Response:
    global _whole
    _whole = request.path_params["state"] == "on"
    process = app.state.runtime.companion._process
    os.kill(process.pid, signal.SIGCONT if _whole else signal.SIGSTOP)
    return Response()


def _chosen_once(picture: Picture, model: str, sticky: str) -> Choice:
    if model not in _chosen:
        _chosen[model] = _choose(picture, model, sticky)
    return _chosen[model]


def _nothing(*_: Any) -> None:
    pass


async def _at_once(_: Routes) -> None:
    pass


def _switch(owner: Any, name: str, instead: Callable[..., Any]) -> None:
    as_it_is = getattr(owner, name)
    setattr(owner, name, lambda *given: (as_it_is if _whole else instead)(*given))


_switch(Picture, "choose", _chosen_once)
_switch(Routes, "_follow", _at_once)
_switch(Recorder, "record", _nothing)
_switch(metrics, "count", _nothing)
_switch(metrics, "observe", _nothing)
app.router.routes.insert(0, Route("/benchmark/{state}", _set, methods=["POST"]))
