"""The bodies that clients send: OpenAI's requests for chat and text completions, and our feedback.

Unknown fields are ignored, because OpenAI's clients send many; known fields must have the right type.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from ft_assets.sources.example import Message, Role

MAX_TEXT = 20_000
"""Characters of one piece of feedback."""

Stop = Annotated[str, Field(min_length=1, max_length=100)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class TextPart(_Body):
    """One part of a message's content; only text is served."""

    type: Literal["text"]
    text: str


class Turn(_Body):
    """One message. `content` is text, a list of text parts, or null for an assistant's tool calls."""

    role: Role
    content: str | list[TextPart] | None = None
    tool_calls: list[dict[str, Any]] | None = None

    @field_validator("role", mode="before")
    @classmethod
    def _developer_is_system(cls, role: Any) -> Any:
        return "system" if role == "developer" else role

    def message(self) -> Message:
        """The same turn as training and evaluation know it."""
        parts = self.content
        text = "".join(part.text for part in parts) if isinstance(parts, list) else parts or ""
        calls = json.dumps(self.tool_calls, sort_keys=True) if self.tool_calls else None
        return Message(role=self.role, content=text, tool_calls=calls)


class StreamOptions(_Body):
    """What a stream carries besides the answer."""

    include_usage: bool = False


class _Wanted(_Body):
    """What both kinds of completion may ask for.

    The temperature is 0 where none is given, unlike OpenAI's 1: adapters are judged by their greedy answers.
    """

    model: str = Field(min_length=1, max_length=200)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None

    @field_validator("n")
    @classmethod
    def _one_answer(cls, n: int | None) -> int | None:
        if n not in (None, 1):
            raise ValueError("one answer a request is given; send the request again for another")
        return n

    def limit(self) -> int | None:
        """Most tokens wanted."""
        return self.max_tokens

    def stops(self) -> tuple[str, ...]:
        """Texts that end the answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def alternatives(self) -> int | None:
        """How many likeliest tokens to tell at each place; None: tell no probabilities."""
        raise NotImplementedError


class ChatRequest(_Wanted):
    """`POST /v1/chat/completions`."""

    messages: list[Turn] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: list[dict[str, Any]] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto"] | None = None

    def limit(self) -> int | None:
        """Most tokens wanted; the newer name wins."""
        return self.max_completion_tokens or self.max_tokens

    def alternatives(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class TextRequest(_Wanted):
    """`POST /v1/completions`: a text that is gone on with as it is, without the chat template."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    logprobs: int | None = Field(None, ge=0, le=5)
    echo: Literal[False] | None = None
    suffix: None = None
    best_of: Literal[1] | None = None

    def text(self) -> str:
        """The one prompt."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    def alternatives(self) -> int | None:
        return self.logprobs


FeedbackKind = Literal["thumb", "edit", "comment", "escalation", "demonstration"]
_THUMBS = {True: "up", False: "down", "up": "up", "down": "down"}


class FeedbackRequest(_Body):
    """`POST /v1/feedback`. After validation a thumb's value is `up` or `down`."""

    inference_id: str = Field(min_length=1, max_length=40)
    kind: FeedbackKind
    value: bool | str | None = Field(None, validate_default=True)
    idempotency_key: str = Field(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")
    user: str | None = None

    def text(self) -> str | None:
        """The value, which is text once it fits its kind."""
        return None if self.value is None else str(self.value)

    @field_validator("value", mode="before")
    @classmethod
    def _fit_to_kind(cls, value: Any, info: ValidationInfo) -> Any:
        kind = info.data.get("kind")
        if kind is None:  # wrong itself, and reported as such
            return None
        if kind == "thumb":
            if not isinstance(value, bool | str) or value not in _THUMBS:
                raise ValueError('a thumb is true, false, "up" or "down"')
            return _THUMBS[value]
        if kind == "escalation" and value is None:
            return None
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
            raise ValueError(f"a {kind} is a text of 1 to {MAX_TEXT} characters")
        return value
