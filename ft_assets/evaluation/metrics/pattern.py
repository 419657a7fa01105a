"""Whether an answer has the form that was asked for."""

import re


def matches(answer: str, pattern: str) -> bool:
    """Whether the whole answer, its outer white space aside, matches a regular expression."""
    return re.fullmatch(pattern, answer.strip()) is not None
