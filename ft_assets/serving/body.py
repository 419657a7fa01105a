"""Reading a JSON body: only JSON, only so long, only for so long, and checked while it is parsed."""

import asyncio
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from ft_assets.serving.problems import ApiProblem, invalid_body

BODY_SECONDS = 30.0
"""A body that has not come by then is given up with 408."""

T = TypeVar("T", bound=BaseModel)


async def read_body(request: Request, shape: type[T], max_bytes: int) -> T:
    """The body as a `shape`.

    Raises:
        ApiProblem: 400 malformed, 408 it took longer than `BODY_SECONDS`, 413 longer than `max_bytes`, 415 not
            declared as JSON.
    """
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != "application/json":
        # Also keeps web pages out: a browser asks leave before it sends JSON to another site.
        raise ApiProblem(415, "send JSON, with `Content-Type: application/json`", code="not_json")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            content = await _bytes(request, max_bytes)
    except TimeoutError as error:
        message = f"the body took longer than {BODY_SECONDS:.0f} s; send it without pauses"
        raise ApiProblem(408, message, code="too_slow") from error
    try:
        return shape.model_validate_json(content)
    except ValidationError as error:
        raise invalid_body(error) from error


async def _bytes(request: Request, max_bytes: int) -> bytes:
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > max_bytes:
                raise ApiProblem(413, f"a body has at most {max_bytes} bytes", code="too_long")
    except ClientDisconnect as error:
        raise ApiProblem(400, "the body was cut off", code="cut_off") from error
    return bytes(content)
