"""Tool calls taken out of an answer as it comes: text is held back only from where a call may begin.

What counts as a call is the gate's reading (`evaluation/metrics/call_text.py`), so that an answer which was judged as a
call is given out as one. Beyond that a call must name a tool of the request, and its arguments must be a JSON object.
They are not checked against the tool's schema, as OpenAI's are not. What is no call after all is given out as text.

transformers' `ResponseParser` is not used: it reads only bases that declare a `response_template`, needs their control
tokens in the text, and raises on a malformed call, whose text would be lost.
"""

from collections.abc import Collection

from ft_assets.evaluation.metrics.call_text import (
    CLOSE,
    OPEN,
    Call,
    json_part,
    may_be_json_calls,
    read_json_calls,
)

Piece = str | Call


class CallReader:
    """Splits one answer into text and calls. However the answer is cut, the pieces say the same.

    Whitespace before a call belongs to the call, and so does what follows the last one if it is nothing else.

    Args:
        names: of the tools that may be called; without any, all is text.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._held = ""
        self._may_be_json = bool(names)  # so far, the whole answer may be calls written as JSON
        self._after_call = False

    def push(self, text: str) -> list[Piece]:
        """Add more of the answer; returns what is now certain."""
        if not self._names:
            return [text]
        self._held += text
        self._may_be_json = self._may_be_json and may_be_json_calls(self._held)
        return [] if self._may_be_json else self._certain()

    def finish(self) -> list[Piece]:
        """The rest, once no text will follow."""
        if self._may_be_json and (calls := self._calls(json_part(self._held))):
            return calls
        pieces = self._certain()
        _, opened, inside = self._held.partition(OPEN)  # some templates end the turn before the closing tag
        if opened and (calls := self._calls(inside)):
            return [*pieces, *calls]
        return pieces if self._after_call and not self._held.strip() else [*pieces, self._held]

    def _certain(self) -> list[Piece]:
        pieces: list[Piece] = []
        while True:
            opened = self._held.find(OPEN)
            closed = self._held.find(CLOSE, opened) if opened >= 0 else -1
            pieces += self._take(self._before_tag(opened))
            if closed < 0:
                return pieces
            (region,) = self._take(self._held.index(CLOSE) + len(CLOSE))
            calls = self._calls(region.strip().removeprefix(OPEN).removesuffix(CLOSE))
            pieces += calls or [region]
            self._after_call = bool(calls)

    def _before_tag(self, opened: int) -> int:
        """Length of the text before the tag, or before an end that may yet become one; whitespace goes with the tag."""
        if opened < 0:
            part = next(size for size in range(len(OPEN) - 1, -1, -1) if self._held.endswith(OPEN[:size]))
            opened = len(self._held) - part
        return len(self._held[:opened].rstrip())

    def _take(self, size: int) -> list[str]:
        """So much of what is held; nothing for 0."""
        text, self._held = self._held[:size], self._held[size:]
        self._after_call = self._after_call and not text
        return [text] if text else []

    def _calls(self, text: str) -> list[Piece]:
        """The calls of a text that is nothing but calls of the request's tools; else none."""
        try:
            calls = read_json_calls(text)
        except (ValueError, RecursionError):
            return []
        good = all(call.name in self._names and isinstance(call.arguments, dict) for call in calls)
        return [*calls] if good else []
