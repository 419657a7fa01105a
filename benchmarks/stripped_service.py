"""Our service without routing, recording and metrics, for `serving_overhead.py` to tell what those three cost."""

import asyncio
from typing import Any

from ft_assets.serving import metrics
from ft_assets.serving.companion import Companion
from ft_assets.serving.recording import Recorder
from ft_assets.serving.routes import Choice, Picture, Routes
from ft_assets.serving.service import Service

__all__ = ["Service"]

_choose = Picture.choose
_chosen: dict[str, Choice] = {}


def _chosen_once(picture: Picture, model: str, sticky: str) -> Choice:
    if model not in _chosen:
        _chosen[model] = _choose(picture, model, sticky)
    return _chosen[model]


def _nothing(*_: Any) -> None:
    pass


async def _for_ever(_: Any) -> None:
    await asyncio.Event().wait()


Picture.choose = _chosen_once
Routes.keep_fresh = _for_ever
Recorder.record = _nothing
Companion.start = _nothing
metrics.count = metrics.observe = _nothing
