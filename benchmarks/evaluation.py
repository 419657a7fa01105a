"""Scoring known answers beside lm-evaluation-harness, and greedy generation beside transformers' `generate`.

Docstring rows on the real base with an adapter that was trained for a few steps, float32, one core and one thread. Arms
take turns, each run in a process of its own; medians of processor time are told. `FT_ASSETS_BENCH_EVAL_ROWS` is how
many rows are scored (default 64); the first 32 are answered.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.curation import _one_core
from ft_assets.recipe import Base, Training, load_recipe
from ft_assets.sources.example import Example

_RUNS = 3
_SCORED_TOGETHER = 16
_ANSWERED = 32
_ANSWER_TOKENS = 32
_TRAINING = Training(
    learning_rate=1e-3, batch_tokens=1_024, max_steps=6, validate_every=6, max_tokens=512, device="cpu"
)


def measure() -> dict[str, Any]:
    """`{"rows", "scoring", "generation"}`, each of the two `{"ours", "peers", "ratio", …}`.

    Of an arm `{"tokens_per_s", "peak_mb"}`: answer tokens a processor second. `max_abs_diff` is the largest difference
    of a row's summed loss, in nats; `equal_answers` the share of rows that both arms answer with the same text.
    """
    from ft_assets.bases.base_models import prepare_base
    from ft_assets.storage.home import Home

    count = int(os.environ.get("FT_ASSETS_BENCH_EVAL_ROWS", "64"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = prepare_base(Home(folder / "home"), Base())
        adapter = _train(folder, base, _rows(base[1], count + 96)[count:])
        return {
            "rows": count,
            "scoring": _compare(("ours_score", "lm_eval"), base[1], adapter, count),
            "generation": _compare(
                ("ours_generate", "transformers"), base[1], adapter, min(count, _ANSWERED)
            ),
        }


def score_ours(base: Path, adapter: Path, rows: Sequence[Example]) -> tuple[float, list[float], int]:
    from ft_assets.evaluation.generation import Engine

    engine = Engine.load(base, "cpu")
    engine.add_adapter("a", adapter)
    started = time.process_time()
    found = [
        one for batch in _batches(rows) for one in engine.score([example.messages for example in batch], "a")
    ]
    seconds = time.process_time() - started
    return seconds, [nats for nats, _ in found], sum(tokens for _, tokens in found)


def score_lm_eval(base: Path, adapter: Path, rows: Sequence[Example]) -> tuple[float, list[float], int]:
    """The harness's own `hf` model, on the same ids; it orders and batches them itself."""
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    from ft_assets.curation.chat import encode_example

    model = HFLM(
        pretrained=str(base), peft=str(adapter), device="cpu", dtype="float32", batch_size=_SCORED_TOGETHER
    )
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    requests, tokens = [], 0
    for example in rows:
        ids, is_answer = encode_example(tokenizer, example.messages)
        start = is_answer.index(True)
        tokens += len(ids) - start
        requests.append(((str(len(requests)), ""), ids[:start], ids[start:]))
    started = time.process_time()
    found = model._loglikelihood_tokens(requests, disable_tqdm=True)
    return time.process_time() - started, [-log for log, _ in found], tokens


def generate_ours(base: Path, adapter: Path, rows: Sequence[Example]) -> tuple[float, list[str], int]:
    from ft_assets.evaluation.generation import Engine, Request

    engine = Engine.load(base, "cpu")
    engine.add_adapter("a", adapter)
    requests = [Request(example.messages[:-1], "a", _ANSWER_TOKENS) for example in rows]
    started = time.process_time()
    answers = engine.generate(requests)
    seconds = time.process_time() - started
    return seconds, [answer.text for answer in answers], sum(answer.answer_tokens for answer in answers)


def generate_transformers(base: Path, adapter: Path, rows: Sequence[Example]) -> tuple[float, list[str], int]:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ft_assets.curation.chat import encode_prompt

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter).eval()
    prompts = [encode_prompt(tokenizer, example.messages[:-1]) for example in rows]
    inputs = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
    started = time.process_time()
    with torch.inference_mode():
        ids = model.generate(
            **inputs, do_sample=False, max_new_tokens=_ANSWER_TOKENS, pad_token_id=tokenizer.pad_token_id
        )
    seconds = time.process_time() - started
    new = ids[:, inputs["input_ids"].shape[1] :]
    tokens = sum(_up_to_end(row, tokenizer.eos_token_id) for row in new.tolist())
    return seconds, tokenizer.batch_decode(new, skip_special_tokens=True), tokens


Found = list[float] | list[str]
ARMS: dict[str, Callable[[Path, Path, Sequence[Example]], tuple[float, Any, int]]] = {
    "ours_score": score_ours,
    "lm_eval": score_lm_eval,
    "ours_generate": generate_ours,
    "transformers": generate_transformers,
}


def _up_to_end(ids: Sequence[int], end: int) -> int:
    """Tokens of an answer, its end token included: padding that follows is no answer."""
    return ids.index(end) + 1 if end in ids else len(ids)


def _compare(names: tuple[str, str], base: Path, adapter: Path, count: int) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _, name in product(range(_RUNS), names):
        runs[name].append(_run(name, base, adapter, count))
    ours, peer = (_summary(runs[name]) for name in names)
    found = {
        "answer_tokens": runs[names[0]][0]["tokens"],
        "ours": ours,
        "peers": {names[1]: peer},
        "ratio": {names[1]: round(ours["tokens_per_s"] / peer["tokens_per_s"], 2)},
    }
    mine, theirs = (runs[name][0]["found"] for name in names)
    pairs = list(zip(mine, theirs, strict=True))
    if isinstance(mine[0], float):
        return {**found, "max_abs_diff": max(abs(a - b) for a, b in pairs)}
    return {**found, "equal_answers": sum(a.strip() == b.strip() for a, b in pairs) / len(pairs)}


def _summary(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    seconds = statistics.median(run["seconds"] for run in runs)
    return {
        "tokens_per_s": round(runs[0]["tokens"] / seconds, 1),
        "peak_mb": round(max(run["peak_mb"] for run in runs)),
    }


def _batches(rows: Sequence[Example]) -> list[Sequence[Example]]:
    return [rows[start : start + _SCORED_TOGETHER] for start in range(0, len(rows), _SCORED_TOGETHER)]


def _train(folder: Path, base: tuple[str, Path], rows: Sequence[Example]) -> Path:
    from benchmarks.alignment import _run as run_worker
    from benchmarks.alignment import _split
    from ft_assets.training.job import TrainingJob

    work = folder / "adapter"
    job = TrainingJob(
        model="bench",
        candidate="bench",
        base_name="bench",
        base=base,
        train=_split(work / "train", rows[8:]),
        validation=_split(work / "validation", rows[:8]),
        settings=_TRAINING,
        work=work,
    )
    run_worker("ft_assets.training.worker", work, job.model_dump_json())
    return job.output


def _rows(base: Path, count: int) -> list[Example]:
    """Real rows of at most 512 tokens."""
    from transformers import AutoTokenizer

    from ft_assets.curation.chat import encode_example
    from ft_assets.sources.readers import read_source

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    rows: list[Example] = []
    for source in load_recipe("docstrings").sources:
        for example in read_source(source):
            if isinstance(example, Example) and len(encode_example(tokenizer, example.messages)[0]) <= 512:
                rows.append(example)
            if len(rows) == count:
                return rows
    return rows


def _run(name: str, base: Path, adapter: Path, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.evaluation", name, str(base), str(adapter), str(count)]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONWARNINGS": "ignore",
    }
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(ended.stdout.splitlines()[-1])


def _main() -> None:
    name, base, adapter, count = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    _one_core()
    import torch

    torch.set_num_threads(1)
    seconds, found, tokens = ARMS[name](base, adapter, _rows(base, count))
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) / 2**10 for line in status if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "found": found, "tokens": tokens, "peak_mb": peak}))


if __name__ == "__main__":
    _main()
