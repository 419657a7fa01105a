"""Whether the vLLM beside us serves the base that our adapters were made for, and can do what we need.

vLLM tells no digest of its weights. It tells the folder that it read them from, and our folders of bases are named by
the digest of their bytes, so that name is what is compared; on a shared disk it is the folder that was checked here.
"""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from ft_assets.errors import BrokenEnvironment, Refused
from ft_assets.evaluation.generation import Request
from ft_assets.serving.vllm_api import Card, NotThere, VllmApi
from ft_assets.serving.vllm_row import Speller

_NO_ADAPTER = "ft-assets-asks-whether-adapters-may-be-changed"


@dataclass(frozen=True)
class Wanted:
    """What vLLM must serve: a folder of kind `bases`, and room for `tokens` of prompt and answer."""

    base: Path
    tokens: int

    @property
    def command(self) -> str:
        """How to start it."""
        return (
            f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve {self.base} --enable-lora "
            f"--max-model-len {self.tokens}"
        )


def find_base(models: Mapping[str, Card], wanted: Wanted) -> str:
    """Name under which vLLM serves the base.

    Raises:
        Refused: it serves another, or with less room.
    """
    bases = [card for card in models.values() if card.parent is None]
    found = next((card for card in bases if Path(card.root).name == wanted.base.name), None)
    if found is None:
        served = ", ".join(card.root for card in bases)
        raise Refused(
            f"vLLM serves {served}, and this server's adapters belong to base {wanted.base.name[:12]}; "
            f"start it with: {wanted.command}"
        )
    if found.max_model_len is not None and found.max_model_len < wanted.tokens:
        raise Refused(
            f"vLLM has room for {found.max_model_len} tokens of prompt and answer, and this server promises "
            f"{wanted.tokens}; start vLLM with --max-model-len {wanted.tokens}, or set "
            f"FT_ASSETS_MAX_TOKENS={found.max_model_len}"
        )
    return found.name


async def examine(api: VllmApi, speller: Speller, wanted: Wanted) -> str:
    """Name of the base, once vLLM has answered with it and may be given adapters.

    Raises:
        Refused: see `find_base`.
        BrokenEnvironment: its adapters may not be changed.
        EngineFailed, Busy: it does not answer.
    """
    name = find_base(await api.models(), wanted)
    await _try_one_token(api, speller, name)
    try:
        await api.unload(_NO_ADAPTER)
    except NotThere as error:
        if _NO_ADAPTER not in str(error):  # the route itself is missing
            raise BrokenEnvironment(
                f"vLLM's adapters cannot be changed while it runs; start it with: {wanted.command}"
            ) from error
    return name


async def _try_one_token(api: VllmApi, speller: Speller, name: str) -> None:
    request = Request([], None, 1, prompt_ids=speller.tokenizer("The")["input_ids"])
    async with aclosing(api.complete(speller.body(request, name))) as steps:
        step = await anext(steps, None)
    if step is None or step.odds is None or not 0 <= step.token_id < len(speller.tokenizer):
        raise Refused(f"vLLM at {api.url} does not go on with a simple text: {step}")
