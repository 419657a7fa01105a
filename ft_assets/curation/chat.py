"""Conversations as token ids: one implementation for training, evaluation and serving.

An answer is encoded apart from its prompt, because that is how it is generated: the model is given the
prompt's ids and adds tokens of its own. So a prompt's ids are always the first ids of its example.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ft_assets.errors import WrongInput
from ft_assets.sources.example import Message

Turn = Message | Mapping[str, Any]


def encode_prompt(
    tokenizer: Any, messages: Sequence[Turn], tools: Sequence[Mapping[str, Any]] | None = None
) -> list[int]:
    """Ids of a conversation that the assistant is to answer, generation prompt included.

    Args:
        tokenizer: a fast tokenizer of transformers that has a chat template.
        messages: turns up to the one to be answered.
        tools: what the answer may call, as OpenAI describes them.
    """
    return _ids(tokenizer, _render(tokenizer, _turns(tokenizer, messages), prompt=True, tools=tools))


def encode_example(tokenizer: Any, messages: Sequence[Turn]) -> tuple[list[int], list[bool]]:
    """Ids of a conversation and a mask of equal length, True on its answer.

    The answer is the last turn with its end-of-turn token, the last id; what a template writes after that
    (a newline, say) is left out, as no model is ever asked to write it.

    Raises:
        WrongInput: the last turn is not the assistant's, or the template does not suit training.
    """
    turns = _turns(tokenizer, messages)
    if turns[-1]["role"] != "assistant":
        raise WrongInput(f"an example ends with an assistant turn; this one ends with {turns[-1]['role']!r}")
    prompt = _render(tokenizer, turns[:-1], prompt=True)
    whole = _render(tokenizer, turns, prompt=False)
    if not whole.startswith(prompt):
        raise WrongInput(
            "the base's chat template renders a prompt differently once it is answered, so the answer cannot "
            "be told from the prompt; choose another base"
        )
    prompt_ids = _ids(tokenizer, prompt)
    answer_ids = _up_to_end(_ids(tokenizer, whole[len(prompt) :]), tokenizer.eos_token_id)
    if turns[-1].get("tool_calls") and not turns[-1]["content"] and len(answer_ids) == 1:
        raise WrongInput(
            "the base's chat template leaves tool calls out, so this answer would teach it to say nothing; choose a "
            "base whose template has them, or leave out rows that only call tools"
        )
    return prompt_ids + answer_ids, [False] * len(prompt_ids) + [True] * len(answer_ids)


def _turns(tokenizer: Any, messages: Sequence[Turn]) -> list[dict[str, Any]]:
    return [_turn(tokenizer, message) for message in messages]


def _turn(tokenizer: Any, message: Turn) -> dict[str, Any]:
    fields = message.model_dump() if isinstance(message, Message) else message
    turn = {"role": fields["role"], "content": _harmless(tokenizer, fields["content"])}
    if calls := fields.get("tool_calls"):
        given = json.loads(calls) if isinstance(calls, str) else calls
        turn["tool_calls"] = [_harmless(tokenizer, _with_arguments(call)) for call in given]
    return turn


def _with_arguments(call: Any) -> Any:
    """A call as templates want it: its arguments are an object, where OpenAI writes that object's JSON text."""
    try:
        arguments = json.loads(call["function"]["arguments"])
    except (KeyError, TypeError, ValueError):
        return call
    return {**call, "function": {**call["function"], "arguments": arguments}}


def _harmless(tokenizer: Any, value: Any) -> Any:
    """Break control tokens spelt out in a text, also within JSON: else its author could speak for another role."""
    if isinstance(value, Mapping):
        return {_harmless(tokenizer, key): _harmless(tokenizer, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_harmless(tokenizer, each) for each in value]
    if isinstance(value, str):
        for token in _control_tokens(tokenizer):
            value = value.replace(token, f"{token[:1]} {token[1:]}")
    return value


@lru_cache(maxsize=4)
def _control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Those that have a role, such as the end token, and those of turns, which may have none, as in Llama 3.

    The template names them, or puts them together from `<|`, a role and `|>`. Others are left alone: `<filename>`,
    which some bases know from pre-training, is often meant as it stands.
    """
    template = str(tokenizer.chat_template)
    special = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    of_turns = (token for token in special if token in template or token.startswith("<|"))
    return tuple(dict.fromkeys([*tokenizer.all_special_tokens, *of_turns]))


def _render(
    tokenizer: Any,
    turns: Sequence[Mapping[str, Any]],
    prompt: bool,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> str:
    told = {} if tools is None else {"tools": _harmless(tokenizer, tools)}
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=prompt, **told)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _up_to_end(ids: list[int], end: int) -> list[int]:
    if end not in ids:
        raise WrongInput(
            "the base's chat template does not end an answer with the tokenizer's end token; choose another base"
        )
    return ids[: len(ids) - ids[::-1].index(end)]
