"""Whether an answer is JSON that a schema allows."""

from collections.abc import Callable
from typing import Any

from ft_assets.evaluation.metrics.json_text import read_json


def json_matcher(schema: dict[str, Any]) -> Callable[[str], bool]:
    """A function that says whether a whole answer is JSON that a schema (draft 2020-12) allows.

    Only what the schema itself holds is looked up: the library would otherwise fetch a remote `$ref`.
    """
    from jsonschema import Draft202012Validator
    from jsonschema_specifications import REGISTRY

    validator = Draft202012Validator(schema, registry=REGISTRY)

    def allowed(answer: str) -> bool:
        try:
            return validator.is_valid(read_json(answer))
        except (ValueError, RecursionError):  # no JSON, or deeper than Python can follow
            return False

    return allowed
