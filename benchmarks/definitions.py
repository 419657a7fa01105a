"""What a Dagster process pays to load the definitions: ours, and the same with the training libraries at module top.

Every run, sensor tick and step that starts a process pays it again, and it is how most published fine-tuning
projects on Dagster are written: the asset modules import torch, transformers and peft.
"""

import statistics
import subprocess
import sys

_LOAD = "from ft_assets.definitions import defs; (defs() if callable(defs) else defs).resolve_asset_graph()"
_HEAVY = "import torch, transformers, peft; from peft import LoraConfig; " + _LOAD
_REPORT = "; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
_TIMED = "import time; started = time.perf_counter(); {code}; print(time.perf_counter() - started)"
_RUNS = 5


def measure() -> dict:
    """Medians of alternating runs: `{"ours": {"seconds", "peak_mb"}, "peers": {…}, "ratio": {…}}`."""
    arms = {"ours": _LOAD, "training_libraries_at_top": _HEAVY}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for _ in range(_RUNS):
        for name, code in arms.items():
            taken[name].append(_run(code))
    ours, heavy = (_medians(taken[name]) for name in arms)
    ratio = {key: heavy[key] / ours[key] for key in ours}
    return {"ours": ours, "peers": {"training_libraries_at_top": heavy}, "ratio": ratio, "runs": _RUNS}


def _run(code: str) -> tuple[float, float]:
    command = [sys.executable, "-W", "ignore", "-c", _TIMED.format(code=code) + _REPORT]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(out[-2]), float(out[-1])


def _medians(runs: list[tuple[float, float]]) -> dict[str, float]:
    seconds, peak_mb = (statistics.median(column) for column in zip(*runs, strict=True))
    return {"seconds": seconds, "peak_mb": peak_mb}
