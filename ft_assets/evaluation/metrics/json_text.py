"""Reads JSON that a model wrote."""

import json
import math
from typing import Any, NoReturn


def read_json(text: str) -> Any:
    """What a text says that is JSON and nothing else.

    Raises:
        ValueError: it is not; nor, though Python would read them, are `NaN` and a number that no float can hold. Nor
            is a nesting deeper than Python can follow.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)
