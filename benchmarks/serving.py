"""The service on the real base (SmolLM2-135M), one thread, float32, beside PEFT and transformers alone.

Adapters are rank 16 on every linear layer (20 MB) with random weights. Arms take turns; medians of their times are
told, with the least beside them, as other work on the machine moves them. `FT_ASSETS_BENCH_USERS` is how many users
ask at once (default 32).
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import serving_overhead
from ft_assets.recipe import Base

_SWAPS = 9
_BATCH = 16
_BATCH_RUNS = 6
_TOKENS = 24
_CODE = "def median_{0}(values):\n    ordered = sorted(values)\n    return ordered[len(ordered) // 2]\n"


def prompt(number: int | str) -> list[dict[str, str]]:
    """One of the conversations that are asked."""
    task = "Write this function's one-line docstring.\n\n"
    return [{"role": "user", "content": task + _CODE.format(number) * 2}]


PROMPTS = [prompt(number) for number in range(64)]


def measure() -> dict[str, Any]:
    """`{"swap_ms", "mixed_batch", "overhead_ms", "throughput"}`; each of the functions below says what is in it."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    from ft_assets.bases.base_models import prepare_base
    from ft_assets.storage.home import Home

    torch.set_num_threads(1)
    users = int(os.environ.get("FT_ASSETS_BENCH_USERS", "32"))
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        digest, base = prepare_base(home, Base())
        adapters = [_make_adapter(base, Path(folder) / f"adapter{seed}", seed) for seed in range(4)]
        return {
            "swap_ms": swap(base, adapters),
            "mixed_batch": mixed_batch(base, adapters),
            "overhead_ms": serving_overhead.measure(),
            "throughput": throughput(home, digest, base, users),
        }


def swap(base: Path, adapters: Sequence[Path]) -> dict[str, Any]:
    """From a file to an adapter that can answer, beside PEFT's two ways; `ratio`: PEFT's hotswap over ours."""
    from ft_assets.evaluation.generation import Engine

    engine = Engine.load(base, "cpu")
    engine.add_adapter("first", adapters[0])
    hotswap, load = _peft_ways(base, adapters)

    def ours(number: int) -> None:
        engine.add_adapter("next", adapters[1 + number % 3])

    arms = {"ours": ours, "peft_hotswap_adapter": hotswap, "peft_load_adapter": load}
    times: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(_SWAPS):
        for name, arm in arms.items():
            times[name].append(_seconds(lambda arm=arm, number=number: arm(number)) * 1000)
        engine.drop_adapter("next")
    found = {
        name: {"median": _round(statistics.median(t)), "least": _round(min(t))} for name, t in times.items()
    }
    return {**found, "ratio": _round(found["peft_hotswap_adapter"]["median"] / found["ours"]["median"])}


def mixed_batch(base: Path, adapters: Sequence[Path]) -> dict[str, Any]:
    """Processor seconds of one batch of answers over four adapters and over one; `ratio`: their median ratio.

    As the service does it, prompts are read from where what they all begin with is known; two rounds that are not
    counted make it known to both arms. No prompt comes twice, all have the same length, and the adapters are too weak
    to change the answers, so both arms do the same work: `tokens` are those of the answers of each.
    """
    from ft_assets.evaluation.generation import Engine, Request

    engine = Engine.load(base, "cpu")
    names = [
        str(number) for number, folder in enumerate(adapters) if not engine.add_adapter(str(number), folder)
    ]

    tokens: list[int] = []
    numbers = (f"{number * 7919:07d}"[::-1] for number in count())  # that differ from their first digit on

    def run(chosen: Sequence[str]) -> float:
        batch = engine.start(reuse=True)
        for at in range(_BATCH):
            batch.join(at, Request(prompt(next(numbers)), chosen[at % len(chosen)], _TOKENS))
        began = time.process_time()
        made = sum(map(len, iter(batch.step, [])))
        seconds = time.process_time() - began
        tokens.append(made)
        return seconds

    pairs = [(run(names[:1]), run(names)) for _ in range(2 + _BATCH_RUNS)][2:]
    one, four = (round(statistics.median(each), 2) for each in zip(*pairs, strict=True))
    ratio = statistics.median(four / one for one, four in pairs)
    return {
        "rows": _BATCH,
        "one_adapter_s": one,
        "four_adapters_s": four,
        "tokens": tokens[:2],
        "ratio": round(ratio, 3),
    }


def throughput(home: Any, digest: str, base: Path, users: int) -> dict[str, Any]:
    """Generated tokens a second: users at once through HTTP, and one at a time by transformers' `generate`.

    `first_token_p95_s` is what the slowest of the users wait, all of whom come in the same moment.
    """
    from ft_assets.serving.launch import Server

    alone = _generate_alone(base, PROMPTS[:4])
    with Server(home, digest) as server:
        asyncio.run(_ask_all(server.url, 2))
        together, first = asyncio.run(_ask_all(server.url, users))
    again = _generate_alone(base, PROMPTS[4:8])
    one = statistics.mean([alone, again])
    return {
        "users": users,
        "served_tokens_per_s": _round(together),
        "first_token_p95_s": _round(sorted(first)[int(0.95 * (len(first) - 1))]),
        "generate_tokens_per_s": _round(one),
        "ratio": _round(together / one),
    }


async def _ask_all(url: str, users: int) -> tuple[float, list[float]]:
    import httpx

    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        began = time.perf_counter()
        answers = await asyncio.gather(*(_ask(client, number) for number in range(users)))
        seconds = time.perf_counter() - began
    return sum(tokens for tokens, _ in answers) / seconds, [first for _, first in answers]


async def _ask(client: Any, number: int) -> tuple[int, float]:
    import json

    body = {"model": "base", "messages": PROMPTS[number], "max_tokens": _TOKENS, "stream": True}
    body["stream_options"] = {"include_usage": True}
    began, first, tokens = time.perf_counter(), 0.0, 0
    async with client.stream("POST", "/v1/chat/completions", json=body) as stream:
        stream.raise_for_status()
        async for line in stream.aiter_lines():
            first = first or time.perf_counter() - began  # headers and events wait for the first token
            if line.startswith("data: {"):
                tokens = (json.loads(line[6:]).get("usage") or {}).get("completion_tokens", tokens)
    return tokens, first


def _generate_alone(base: Path, prompts: Sequence[Any]) -> float:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True).eval()
    made, began = 0, time.perf_counter()
    for messages in prompts:
        given = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        answer = model.generate(**given, max_new_tokens=_TOKENS, do_sample=False)
        made += answer.shape[1] - given["input_ids"].shape[1]
    return made / (time.perf_counter() - began)


def _peft_ways(base: Path, adapters: Sequence[Path]) -> tuple[Callable[[int], None], Callable[[int], None]]:
    import torch
    from peft import PeftModel
    from peft.utils.hotswap import hotswap_adapter
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    model = PeftModel.from_pretrained(plain, adapters[0])

    def hotswap(number: int) -> None:
        hotswap_adapter(model, str(adapters[1 + number % 3]), adapter_name="default", torch_device="cpu")

    def load(number: int) -> None:
        model.load_adapter(str(adapters[1 + number % 3]), adapter_name=f"more{number}", torch_device="cpu")

    return hotswap, load


def _make_adapter(base: Path, folder: Path, seed: int) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    model = get_peft_model(
        plain, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
    )
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data *= 1e-3
    model.save_pretrained(folder)
    return folder


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _round(value: float) -> float:
    return round(value, 1)
