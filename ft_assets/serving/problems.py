"""What goes wrong with a request, said in the error shape that OpenAI's clients understand."""

from collections.abc import Mapping

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ft_assets.serving.shapes import ErrorBody

MAX_SHOWN = 200
"""Characters of a caller's own text that a message repeats."""


class ApiProblem(Exception):
    """A request that gets no answer.

    Args:
        status: HTTP status, 400-599.
        message: what happened and what to send instead.
        param: the field of the body that is wrong, if one is.
        code: a stable word for programs.
        headers: sent along, such as `Retry-After`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> ErrorBody:
        """`{"error": {message, type, param, code}}`."""
        kind = "server_error" if self.status >= 500 else _TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The whole answer."""
        return JSONResponse(self.body(), self.status, self.headers)


_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def invalid_body(error: ValidationError) -> ApiProblem:
    """The first thing that pydantic found, with its field named as in `messages.0.role`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = ".".join(str(part) for part in first["loc"])[:MAX_SHOWN] or None
    message = first["msg"].removeprefix("Value error, ")[:MAX_SHOWN]
    shown = f"{param}: {message}" if param else message
    return ApiProblem(400, shown, param=param, code=first["type"])


async def answer_problem(_: Request, problem: Exception) -> Response:
    """Starlette's handler of `ApiProblem`."""
    assert isinstance(problem, ApiProblem)
    return problem.response()


async def answer_crash(_: Request, _error: Exception) -> Response:
    """Starlette's handler of what nobody foresaw; the traceback goes to the log, never to the caller."""
    return crash().response()


def crash() -> ApiProblem:
    """What nobody foresaw; the log says more."""
    return ApiProblem(500, "the server failed; its log says why", code="internal_error")
