"""Text from tokens as they come: never half a character, never half a stop string."""

from collections.abc import Sequence
from typing import Any

_BROKEN = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """Turns the token ids of one answer into text.

    Args:
        tokenizer: a fast tokenizer of transformers.
        stop: the answer ends before the first of these strings, none of which is ever given out.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._ids: list[int] = []
        self._start = 0  # ids from here on are decoded again: what a token spells can hang on the one before
        self._read = 0  # ids before this one are in the text
        self._held = ""
        self.stopped = False

    def push(self, token_id: int) -> str:
        """Add a token; returns the text that is now certain, perhaps none. Sets `stopped` at a stop string."""
        self._ids.append(token_id)
        text = self._unread()
        if text.endswith(_BROKEN):  # in the middle of a character
            return ""
        self._start, self._read = self._read, len(self._ids)
        self._held += text
        return self._release()

    def finish(self) -> str:
        """The rest of the text, once no token will follow; bytes that make no whole character are dropped."""
        if self.stopped:
            return ""
        self._held += self._unread().rstrip(_BROKEN)
        self._read = len(self._ids)
        rest = self._release()
        if not self.stopped:
            rest, self._held = rest + self._held, ""
        return rest

    def _unread(self) -> str:
        before = self._decode(self._ids[self._start : self._read])
        return self._decode(self._ids[self._start :])[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _release(self) -> str:
        ends = [at for text in self._stop if (at := self._held.find(text)) >= 0]
        self.stopped = bool(ends)
        cut = min(ends) if ends else len(self._held) - self._open_stop()
        text, self._held = self._held[:cut], self._held[cut:]
        return text

    def _open_stop(self) -> int:
        """Length of the longest end of the held text that may yet become a stop string."""
        longest = max(map(len, self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(text.startswith(self._held[-length:]) for text in self._stop):
                return length
        return 0
