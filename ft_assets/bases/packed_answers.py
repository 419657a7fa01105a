"""After the last layer's attention only the places that predict an answer go on.

No other token sees what comes after that: neither the last layer's feed-forward part nor the last norm mixes tokens.
Of a layer's products about three quarters come after attention.
"""

from typing import Any

import torch  # noqa: TID253
from transformers import PreTrainedModel  # noqa: TID253
from transformers.models.llama.modeling_llama import LlamaDecoderLayer  # noqa: TID253
from transformers.models.mistral.modeling_mistral import MistralDecoderLayer  # noqa: TID253
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer  # noqa: TID253
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer  # noqa: TID253

_KNOWN = (LlamaDecoderLayer, MistralDecoderLayer, Qwen2DecoderLayer, Qwen3DecoderLayer)
"""Layers that are norm, attention, sum, norm, feed-forward, sum. Others' names may be the same and their sums not."""


def keep_answers(model: PreTrainedModel) -> None:
    """Have packed rows end early in the last layer; a base whose layers are not known stays as it is.

    A pass that has `lay_out` is told there how many tokens of each row go on: its `answers_each`.
    """
    layers = [module for module in model.modules() if type(module) in _KNOWN]
    if not layers:
        return
    # A subclass of the layer's own name: by it, FSDP and checkpointed activations know a layer.
    stock: Any = type(layers[-1])
    layers[-1].__class__ = type(stock.__name__, (stock,), {"forward": _ending_early(stock)})
    model.register_forward_pre_hook(_hand_down, with_kwargs=True)


def _hand_down(model: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """Tell the last layer the places; what it returns then are those only, so all of it is projected."""
    if "row_lengths" not in kwargs:
        return None
    return args, {**kwargs, "logits_to_keep": 0, "answers_at": kwargs["logits_to_keep"]}


def _ending_early(stock: Any) -> Any:
    def forward(
        self: Any, hidden_states: torch.Tensor, answers_at: torch.Tensor | None = None, **kwargs: Any
    ) -> torch.Tensor:
        if answers_at is None:
            return stock.forward(self, hidden_states, **kwargs)
        mixed, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        answers = hidden_states[:, answers_at] + mixed[:, answers_at]
        if lay_out := kwargs.get("lay_out"):
            lay_out(kwargs["answers_each"])
        return answers + self.mlp(self.post_attention_layernorm(answers))

    return forward
