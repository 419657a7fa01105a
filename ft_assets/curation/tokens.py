"""How many tokens a row is for its base, counted without transformers, as training will count them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ft_assets.bases.base_models import prepare_base
from ft_assets.curation.chat import encode_example
from ft_assets.errors import WrongInput
from ft_assets.recipe import Recipe
from ft_assets.sources.example import Message
from ft_assets.storage.home import Home

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def tokenizer_of(home: Home, recipe: Recipe) -> "Tokenizer | None":
    """The tokenizer of a recipe's base, where the recipe limits lengths in tokens; preparing a base takes a while."""
    if recipe.curation.max_tokens is None:
        return None
    _, folder = prepare_base(home, recipe.base)
    return open_tokenizer(folder)


def open_tokenizer(folder: Path) -> "Tokenizer":
    """The tokenizer of a base's folder.

    Raises:
        WrongInput: the folder lacks `tokenizer.json`, an end token or a chat template.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise WrongInput(f"{path}: missing; choose a base with a fast tokenizer")
    settings = _read_json(folder / "special_tokens_map.json") | _read_json(folder / "tokenizer_config.json")
    return Tokenizer(path.read_text(), _template(folder, settings), settings)


class Tokenizer:
    """Counts tokens. It has what `encode_example` asks of a tokenizer of transformers, so there is one way to encode.

    Attributes:
        all_special_tokens: texts of the control tokens that have a role.
        added_tokens_decoder: these and other tokens that stand for themselves, by id.
        chat_template: source of the template.
        eos_token_id: id of the token that ends an answer.
    """

    def __init__(self, definition: str, template: str, settings: Mapping[str, Any]) -> None:
        from tokenizers import Tokenizer as Backend

        self._backend = Backend.from_str(definition)
        self._backend.no_truncation()
        self._backend.no_padding()
        self.chat_template = template
        self.added_tokens_decoder = self._backend.get_added_tokens_decoder()
        self._template = _environment().from_string(template)
        self._named = {name: _text(settings[name]) for name in _NAMED if settings.get(name)}
        extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
        extra = extra.values() if isinstance(extra, Mapping) else extra
        self.all_special_tokens = list(dict.fromkeys([*self._named.values(), *map(_text, extra)]))
        end = self._named.get("eos_token")
        if end is None or (end_id := self._backend.token_to_id(end)) is None:
            raise WrongInput("the base's tokenizer names no end token; choose another base")
        self.eos_token_id = end_id
        self._by_bytes = _Bytes(self) if _is_byte_level(json.loads(definition)) else None

    def count(self, messages: Sequence[Message]) -> int:
        """Length of a row in tokens, chat template included: that of `encode_example` with transformers.

        Raises:
            WrongInput: the template refuses the turns, or does not suit training.
        """
        return len(encode_example(self, messages)[0])

    def length(self, text: str) -> int:
        """Tokens of a text alone, without a template."""
        return len(self(text, add_special_tokens=False)["input_ids"])

    def fits(self, messages: Sequence[Message], limit: int) -> bool:
        """Whether `count` is at most `limit`; most rows are so short that their bytes prove it.

        Raises:
            WrongInput: as `count`.
        """
        if self._by_bytes and len(encode_example(self._by_bytes, messages)[0]) <= limit:
            return True
        return self.count(messages) <= limit

    def apply_chat_template(
        self, turns: Sequence[Mapping[str, Any]], tokenize: bool, add_generation_prompt: bool
    ) -> str:
        """Text of a conversation; never tokenized here.

        Raises:
            WrongInput: the template refuses the turns.
        """
        try:
            return self._template.render(
                messages=turns,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._named,
            )
        except (TemplateError, TypeError, ValueError, LookupError) as error:
            raise WrongInput(f"the base's chat template refuses these turns: {error}") from error

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        """Ids of a text."""
        return {"input_ids": self._backend.encode(text, add_special_tokens=add_special_tokens).ids}


class _Bytes:
    """Encodes a byte as a token, plus an end: a tokenizer whose tokens are made of bytes never needs more."""

    eos_token_id = 0

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.all_special_tokens = tokenizer.all_special_tokens
        self.added_tokens_decoder = tokenizer.added_tokens_decoder
        self.chat_template = tokenizer.chat_template
        self.apply_chat_template = tokenizer.apply_chat_template

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, bytes]:
        return {"input_ids": text.encode() + b"\0"}


def _is_byte_level(definition: Mapping[str, Any]) -> bool:
    """Whether every token stands for at least one byte of the text: nothing is added or rewritten on the way."""
    steps = definition["pre_tokenizer"] or {}
    steps = steps.get("pretokenizers", [steps])
    bytes_ = [step for step in steps if step.get("type") == "ByteLevel"]
    return (
        definition["normalizer"] is None
        and definition["model"].get("type") == "BPE"
        and bool(bytes_)
        and not any(step.get("add_prefix_space") for step in steps)
    )


def _template(folder: Path, settings: Mapping[str, Any]) -> str:
    path = folder / "chat_template.jinja"
    found = path.read_text() if path.is_file() else settings.get("chat_template")
    if isinstance(found, list):  # several templates by name
        found = next((each["template"] for each in found if each["name"] == "default"), None)
    if not found:
        raise WrongInput(f"{path}: the base has no chat template; choose one that is tuned to chat")
    return found


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _text(token: str | Mapping[str, Any]) -> str:
    return token if isinstance(token, str) else token["content"]


def _environment() -> ImmutableSandboxedEnvironment:
    """Templates are code of whoever made the base: the same sandbox, filters and names as transformers gives them."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": datetime.now().strftime}
    return environment


class _Generation(Extension):
    """`{% generation %}` marks what an assistant says; for counting, it is as if it were not there."""

    tags: ClassVar[set[str]] = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
