"""The bodies that clients send: OpenAI's requests for chat and text completions, and our feedback.

Unknown fields are ignored, because OpenAI's clients send many; known fields must have the right type. What would
change the answer and is not served is known, and refused.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from ft_assets.sources.example import Message

MAX_TEXT = 20_000
"""Characters of one piece of feedback."""

MAX_SLICE = 64
"""Characters of the header `x-ft-slice`."""


def _told(wanted: str) -> WrapValidator:
    """Say what is wanted where pydantic would tell of each type that a value might have had, by its own names."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            raise ValueError(wanted) from error

    return WrapValidator(check)


Stop = Annotated[str, Field(min_length=1, max_length=100)]
Stops = Annotated[
    Stop | Annotated[list[Stop], Field(max_length=4)],
    _told("a text of 1 to 100 characters, or a list of at most 4 of them"),
]
Zero = Annotated[Literal[0], _told("only 0 is served; leave it out")]


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what pydantic's parser takes and JSON has not: `NaN`, and numbers that no float can hold."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise ValueError("NaN and infinite numbers are not JSON") from error
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_finite)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class TextPart(_Body):
    """One part of a message's content; only text is served."""

    type: Literal["text"]
    text: str


Content = Annotated[
    str | list[TextPart],
    _told('a text, or a list of parts {"type": "text", "text": "…"}; images, sound and files are not read'),
]


class Turn(_Body):
    """One message. `content` is text, a list of text parts, or null for an assistant's tool calls."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    tool_calls: list[JsonObject] | None = None

    def message(self) -> Message:
        """The same turn as training and evaluation know it."""
        parts = self.content
        text = "".join(part.text for part in parts) if isinstance(parts, list) else parts or ""
        calls = json.dumps(self.tool_calls, sort_keys=True) if self.tool_calls else None
        role = "system" if self.role == "developer" else self.role
        return Message(role=role, content=text, tool_calls=calls)


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
    stop: Stops | None = None
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    presence_penalty: Zero | None = None
    frequency_penalty: Zero | None = None
    logit_bias: (
        Annotated[dict[str, Any], Field(max_length=0), _told("none is served; leave it out")] | None
    ) = None

    @field_validator("n", mode="before")
    @classmethod
    def _one_answer(cls, n: Any) -> Any:
        if n is not None and not (type(n) is int and n == 1):  # true == 1, too
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


class PlainText(_Body):
    """The one form of an answer that is served."""

    type: Literal["text"]


_NO_FORM = (
    'nothing holds the model to a form; send {"type": "text"} or leave it out, and ask for the form in words'
)


class ChatRequest(_Wanted):
    """`POST /v1/chat/completions`."""

    messages: list[Turn] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: list[JsonObject] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto"] | None = None
    response_format: Annotated[PlainText, _told(_NO_FORM)] | None = None
    modalities: Annotated[list[Literal["text"]], _told('only ["text"] is served; leave it out')] | None = None
    parallel_tool_calls: (
        Annotated[Literal[True], _told("nothing holds the model to one call; leave it out")] | None
    ) = None
    functions: Annotated[None, _told("send `tools`, which took its place")] = None
    function_call: Annotated[None, _told("send `tool_choice`, which took its place")] = None

    @field_validator("tool_choice", mode="before")
    @classmethod
    def _not_forced(cls, choice: Any) -> Any:
        if choice == "required" or isinstance(choice, dict):
            raise ValueError(
                'a call cannot be forced, as nothing holds the model to one; send "auto", and ask for the call in words'
            )
        return choice

    def offered(self) -> list[dict[str, Any]]:
        """The tools that the answer may call."""
        return [] if self.tool_choice == "none" else self.tools or []

    def tool_names(self) -> frozenset[str]:
        """Names of the tools that the answer may call; what has no name cannot be called."""
        described = [tool.get("function") for tool in self.offered()]
        names = [body.get("name") for body in described if isinstance(body, dict)]
        return frozenset(name for name in names if isinstance(name, str))

    def limit(self) -> int | None:
        """Most tokens wanted; the newer name wins."""
        return self.max_completion_tokens or self.max_tokens

    def alternatives(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class TextRequest(_Wanted):
    """`POST /v1/completions`: a text that is gone on with as it is, without the chat template."""

    prompt: Annotated[
        str | Annotated[list[str], Field(min_length=1, max_length=1)],
        _told("a text, or a list of one; send a request for each"),
    ]
    logprobs: int | None = Field(None, ge=0, le=5)
    echo: Annotated[Literal[False], _told("the prompt is not repeated; leave it out")] | None = None
    suffix: Annotated[None, _told("texts are gone on with, not filled in; leave it out")] = None
    best_of: Annotated[Literal[1], _told("one answer is made and given; leave it out")] | None = None

    def text(self) -> str:
        """The one prompt."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    def alternatives(self) -> int | None:
        return self.logprobs


FeedbackKind = Literal["thumb", "edit", "comment", "escalation", "demonstration"]
_THUMBS = {True: "up", False: "down", "up": "up", "down": "down"}


class FeedbackRequest(_Body):
    """`POST /v1/feedback`. After validation a thumb's value is `up` or `down`."""

    inference_id: str = Field(min_length=1, max_length=40, pattern=r"^[\x21-\x7e]+$")
    kind: FeedbackKind
    value: bool | Annotated[str, Field(max_length=MAX_TEXT)] | None = Field(None, validate_default=True)
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
            raise ValueError(f"of kind {kind!r} it is a text of 1 to {MAX_TEXT} characters")
        if "\0" in value:  # Postgres stores none
            raise ValueError("it has no NUL characters")
        return value
