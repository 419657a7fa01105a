"""A LoRA training step on real rows, beside TRL's SFTTrainer padded (its default) and packed.

Docstring rows on the real base, rank 16 on every linear layer, float32, one core and one thread. Every arm learns the
same rows once, in turn with the others, each run in a process of its own; medians of processor time are told. Tokens
are those of the rows, padding not counted. `FT_ASSETS_BENCH_TRAIN_ROWS` is how many rows (default 32).
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import product, takewhile
from pathlib import Path
from typing import Any

from benchmarks.curation import _one_core
from ft_assets.recipe import Base, Training, load_recipe
from ft_assets.training.rows import Row

_RUNS = 3
_BATCH_ROWS = 8
_SETTINGS = Training(rank=16, alpha=32, epochs=1.0, batch_tokens=1024, validate_every=10_000)


def measure() -> dict[str, Any]:
    """`{"rows", "tokens", "answer_tokens", "beginning", "gemm_gflops", "ours", "peers", "ratio", "grad_rel_error"}`.

    Of an arm `{"tokens_per_s", "gemm_share", "peak_mb"}`: the share of the machine's own matrix product (float32,
    2,048 square) that the operations the arm's rows need come to, taken one row at a time, whatever an arm computes or
    leaves out. `beginning` is how many tokens all rows begin with, which ours runs once a pack. `ratio` is how many
    times a peer's tokens a second ours are. `grad_rel_error` compares gradients of packed rows with those of one row
    at a time: the norm of the difference over the norm.
    """
    from ft_assets.bases.base_models import prepare_base
    from ft_assets.storage.home import Home

    count = int(os.environ.get("FT_ASSETS_BENCH_TRAIN_ROWS", "32"))
    with tempfile.TemporaryDirectory() as folder:
        _, base = prepare_base(Home(folder), Base())
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
        for _, name in product(range(_RUNS), ARMS):
            runs[name].append(_run(name, base, count))
        facts = _run("facts", base, count)
    arms = {name: _summary(found, facts) for name, found in runs.items()}
    ours = arms.pop("ours")
    return {
        **facts,
        "ours": ours,
        "peers": arms,
        "ratio": {name: round(ours["tokens_per_s"] / arm["tokens_per_s"], 2) for name, arm in arms.items()},
    }


def train_ours(base: Path, rows: Sequence[Row], _: Sequence[dict[str, Any]]) -> float:
    """Processor seconds of learning the rows once."""
    from ft_assets.training.adapters import load_with_adapter
    from ft_assets.training.checkpoints import Checkpoints
    from ft_assets.training.sft import Trainer

    with tempfile.TemporaryDirectory() as folder:
        model = load_with_adapter(base, "bench", _SETTINGS)
        trainer = Trainer(model, rows, [], _SETTINGS, Checkpoints(Path(folder), "bench" * 8))
        started = time.process_time()
        trainer.run(lambda history, steps: None)
        return time.process_time() - started


def train_trl_padded(base: Path, rows: Sequence[Row], chats: Sequence[dict[str, Any]]) -> float:
    return _train_trl(base, chats, packing=False)


def train_trl_packed(base: Path, rows: Sequence[Row], chats: Sequence[dict[str, Any]]) -> float:
    return _train_trl(base, chats, packing=True, max_length=1024, per_device_train_batch_size=1)


ARMS: dict[str, Callable[[Path, Sequence[Row], Sequence[dict[str, Any]]], float]] = {
    "ours": train_ours,
    "trl_padded": train_trl_padded,
    "trl_packed": train_trl_packed,
}


def _train_trl(base: Path, chats: Sequence[dict[str, Any]], **more: Any) -> float:
    """Conversational prompt-completion rows, for which TRL too takes the loss on answers only."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    with tempfile.TemporaryDirectory() as folder:
        options = {"per_device_train_batch_size": _BATCH_ROWS, **more}
        settings = SFTConfig(
            output_dir=folder,
            num_train_epochs=1,
            learning_rate=_SETTINGS.learning_rate,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            **options,
        )
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        trainer = SFTTrainer(
            model, args=settings, train_dataset=Dataset.from_list(list(chats)), peft_config=lora
        )
        started = time.process_time()
        trainer.train()
        return time.process_time() - started


def _run(name: str, base: Path, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.training", name, str(base), str(count)]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONWARNINGS": "ignore",
    }
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(ended.stdout.splitlines()[-1])


def _summary(runs: Sequence[dict[str, float]], facts: dict[str, float]) -> dict[str, float]:
    seconds = statistics.median(run["seconds"] for run in runs)
    share = statistics.median(facts["gflop"] / run["seconds"] / run["gemm_gflops"] for run in runs)
    return {
        "tokens_per_s": round(facts["tokens"] / seconds, 1),
        "gemm_share": round(share, 3),
        "peak_mb": round(max(run["peak_mb"] for run in runs)),
    }


def _rows(base: Path, count: int) -> tuple[list[Row], list[dict[str, Any]]]:
    """The same real rows as ids and as chats."""
    from transformers import AutoTokenizer

    from ft_assets.curation.chat import encode_example
    from ft_assets.sources.example import Example
    from ft_assets.sources.readers import read_source

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    rows, chats = [], []
    for source in load_recipe("docstrings").sources:
        for example in read_source(source):
            if not isinstance(example, Example):
                continue
            row = Row(*encode_example(tokenizer, example.messages))
            if len(row.ids) <= 512:
                rows.append(row)
                turns = [{"role": turn.role, "content": turn.content} for turn in example.messages]
                chats.append({"prompt": turns[:-1], "completion": turns[-1:]})
            if len(rows) == count:
                return rows, chats
    return rows, chats


def _facts(base: Path, rows: Sequence[Row]) -> dict[str, float]:
    from ft_assets.training.adapters import load_with_adapter
    from ft_assets.training.flops import needed_flop

    model = load_with_adapter(base, "bench", _SETTINGS)
    return {
        "rows": len(rows),
        "tokens": sum(len(row.ids) for row in rows),
        "answer_tokens": sum(sum(row.answer) for row in rows),
        "beginning": _beginning(rows),
        "gemm_gflops": round(_gemm_gflops(), 1),
        "gflop": round(needed_flop(model, rows) / 1e9, 1),
        "grad_rel_error": _gradient_error(model, rows[:8]),
    }


def _beginning(rows: Sequence[Row]) -> int:
    places = zip(*(row.ids for row in rows), strict=False)
    return sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, places))


def _gradient_error(model: Any, rows: Sequence[Row]) -> float:
    import torch

    from ft_assets.training.adapters import trained_parameters
    from ft_assets.training.packing import answer_loss, make_pack

    draw = torch.Generator().manual_seed(0)
    for weight in trained_parameters(model).values():
        weight.data.normal_(0.0, 0.02, generator=draw)  # a fresh adapter's gradients are half zeros
    found = []
    for packs in ([rows], [[row] for row in rows]):
        model.zero_grad()
        for pack in packs:
            answer_loss(model, make_pack(pack, torch.device("cpu"))).backward()
        found.append(torch.cat([weight.grad.flatten() for weight in trained_parameters(model).values()]))
    return float((found[0] - found[1]).norm() / found[1].norm())


def _gemm_gflops(size: int = 2_048, times: int = 5) -> float:
    import torch

    left, right = torch.rand(size, size), torch.rand(size, size)
    seconds = []
    for _ in range(times):
        started = time.process_time()
        left @ right
        seconds.append(time.process_time() - started)
    return 2 * size**3 / min(seconds) / 1e9


def _main() -> None:
    name, base, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    _one_core()
    import torch

    torch.set_num_threads(1)
    rows, chats = _rows(base, count)
    if name == "facts":
        return print(json.dumps(_facts(base, rows)))
    before = _gemm_gflops()
    seconds = ARMS[name](base, rows, chats)
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) / 2**10 for line in status if line.startswith("VmHWM"))
    gemm = statistics.mean([before, _gemm_gflops()])
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "gemm_gflops": gemm}))


if __name__ == "__main__":
    _main()
