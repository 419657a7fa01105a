"""`GET /openapi.json`: what the service takes and gives, as OpenAPI 3.1.

Bodies are described by the models that parse them, answers by the types that they are built as, and limits by the
numbers that set them.
"""

from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from ft_assets.serving import shapes
from ft_assets.serving.body import BODY_SECONDS
from ft_assets.serving.operations import JSON, OPERATIONS, Operation

_SCHEMAS = "#/components/schemas/{model}"

_PROBLEMS = {
    400: "The request is wrong; `param` names the field.",
    401: "No key that the server knows.",
    403: "The key lacks a scope; or there are no keys, and the connection is not a loopback one.",
    404: "Nothing has this name.",
    408: f"The body took longer than {BODY_SECONDS:.0f} s.",
    409: "The idempotency key was used for other feedback.",
    413: "The body is too long.",
    415: "The body is not declared as JSON.",
    429: "Too many requests: of this key, or waiting.",
    500: "The server failed.",
    503: "All connections are in use, the database is away, nothing can be written, or an adapter cannot load.",
}
_ANYWHERE = (401, 403, 429, 503)
_HEADERS = {
    401: {"WWW-Authenticate": "How to send a key."},
    429: {"Retry-After": "Seconds to wait."},
}
_NAMED = {"x-ft-adapter": "Who answered.", "x-ft-inference-id": "The id to give feedback under."}


@cache
def document(max_bytes: int, max_tokens: int) -> dict[str, Any]:
    """The document.

    Args:
        max_bytes: of a body.
        max_tokens: of prompt and answer together.
    """
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    limits = (
        f"A body has at most {max_bytes} bytes; prompt and answer together have at most {max_tokens} tokens."
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ft_assets",
            "version": version("ft-assets"),
            "description": f"{limits} Health and metrics (`/healthz`, `/livez`, `/readyz`, `/metrics`) ask for no key.",
        },
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {
            "schemas": _schemas()[1],
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Of `ft-assets keys add`. While there is none, only loopback is answered.",
                }
            },
        },
    }


@cache
def _schemas() -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """What stands for each type, and the schemas that these refer to."""
    bodies = [operation.body for operation in OPERATIONS if operation.body]
    given = [
        kind for each in OPERATIONS for media in each.answers.values() for kind in media.values() if kind
    ]
    wanted = [*bodies, *given, shapes.ErrorBody, shapes.ChatChunk]
    adapters: list[tuple[Any, JsonSchemaMode, TypeAdapter[Any]]] = [
        (kind, "validation", TypeAdapter(kind)) for kind in wanted
    ]
    found, named = TypeAdapter.json_schemas(adapters, ref_template=_SCHEMAS)
    return {kind: schema for (kind, _), schema in found.items()}, named["$defs"]


def _operation(operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.text,
        "parameters": _parameters(operation),
        "responses": {},
    }
    if operation.body:
        schema = _schemas()[0][operation.body]
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    for status, media in operation.answers.items():
        content = {name: {"schema": _schemas()[0][kind]} if kind else {} for name, kind in media.items()}
        headers = _response_headers(_NAMED if operation.named else {})
        told["responses"][str(status)] = {"description": "The answer.", "content": content, **headers}
    for status in sorted({*operation.problems, *_ANYWHERE}):
        told["responses"][str(status)] = _problem(status)
    return told


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    headers = [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string", **schema}}
        for name, text, schema in operation.headers
    ]
    if "{name}" not in operation.path:
        return headers
    printable = {"type": "string", "minLength": 1, "pattern": r"^[\x21-\x7e]+$"}
    return [{"name": "name", "in": "path", "required": True, "schema": printable}, *headers]


def _problem(status: int) -> dict[str, Any]:
    if status == 504:
        return {"description": "No answer began in time. BentoML says so, in a body of its own."}
    content = {JSON: {"schema": _schemas()[0][shapes.ErrorBody]}}
    return {
        "description": _PROBLEMS[status],
        "content": content,
        **_response_headers(_HEADERS.get(status, {})),
    }


def _response_headers(texts: dict[str, str]) -> dict[str, Any]:
    if not texts:
        return {}
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in texts.items()}
    return {"headers": headers}
