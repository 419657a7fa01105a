"""What answers look like: the types that the answers are built as, and that the OpenAPI document is made of."""

from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict  # pydantic reads the one of Python 3.12 and later only

Finish = Literal["stop", "length", "tool_calls"]

_exactly = with_config(ConfigDict(extra="forbid"))


@_exactly
class Problem(TypedDict):
    """What went wrong. `param` is the field of the body that is wrong, `code` a stable word for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


@_exactly
class ErrorBody(TypedDict):
    """The body of everything that is no answer."""

    error: Problem


@_exactly
class Usage(TypedDict):
    """Tokens read and made."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@_exactly
class TopLogprob(TypedDict):
    """One token that could have come, and its bytes where they are known."""

    token: str
    logprob: float
    bytes: list[int] | None


@_exactly
class TokenLogprob(TypedDict):
    """The token that came, and the likeliest ones."""

    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[TopLogprob]


@_exactly
class ChatLogprobs(TypedDict):
    """One entry for each token of the answer, those of tool calls included."""

    content: list[TokenLogprob]
    refusal: None


@_exactly
class CalledFunction(TypedDict):
    """`arguments` is a JSON object as text, not checked against the tool's schema."""

    name: str
    arguments: str


@_exactly
class ToolCall(TypedDict):
    """One call of a tool of the request."""

    id: str
    type: Literal["function"]
    function: CalledFunction


@_exactly
class ToolCallDelta(TypedDict):
    """One call in a stream; a call is never cut."""

    index: int
    id: str
    type: Literal["function"]
    function: CalledFunction


@_exactly
class ChatMessage(TypedDict):
    """The answer. `content` is null where it is tool calls and nothing else."""

    role: Literal["assistant"]
    content: str | None
    tool_calls: NotRequired[list[ToolCall]]


@_exactly
class ChatChoice(TypedDict):
    """The one answer."""

    index: Literal[0]
    message: ChatMessage
    finish_reason: Finish
    logprobs: ChatLogprobs | None


@_exactly
class ChatCompletion(TypedDict):
    """An answer to a conversation. `model` names who answered."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


@_exactly
class ChatDelta(TypedDict):
    """What a chunk adds to the answer."""

    role: NotRequired[Literal["assistant"]]
    content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCallDelta]]


@_exactly
class ChatChunkChoice(TypedDict):
    """The next piece of the one answer."""

    index: Literal[0]
    delta: ChatDelta
    finish_reason: Finish | None
    logprobs: ChatLogprobs | None


@_exactly
class ChatChunk(TypedDict):
    """The data of one event of a streamed chat answer. The chunk that has `usage` has no choices."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: NotRequired[Usage]


@_exactly
class TextLogprobs(TypedDict):
    """Lists as long as the answer has tokens."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


@_exactly
class TextChoice(TypedDict):
    """The one answer."""

    index: Literal[0]
    text: str
    finish_reason: Finish | None
    logprobs: TextLogprobs | None


@_exactly
class TextCompletion(TypedDict):
    """A text gone on with; also the data of one event of a stream, where the one that has `usage` has no choices."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: NotRequired[Usage]


@_exactly
class Model(TypedDict):
    """The base, a model with its route, or a release with its candidate."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["ft_assets"]
    champion: NotRequired[str]
    challenger: NotRequired[str | None]
    weight: NotRequired[float]
    rollout: NotRequired[str | None]
    candidate: NotRequired[str]


@_exactly
class ModelList(TypedDict):
    """Everything that may stand in a request's `model`."""

    object: Literal["list"]
    data: list[Model]


@_exactly
class FeedbackStored(TypedDict):
    """`duplicate`: the same was stored before. `queued`: it waits on disk for the database."""

    inference_id: str
    stored: bool
    duplicate: NotRequired[bool]
    queued: NotRequired[Literal[True]]


@_exactly
class LiveFigures(TypedDict):
    """How every rollout stands; the entries of `models` are for people to read, and may gain fields."""

    at: str
    models: list[dict[str, Any]]
