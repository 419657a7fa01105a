"""`python -m benchmarks [NAME…]`: run every benchmark, or the named ones, and print one JSON object."""

import importlib
import json
import sys

BENCHMARKS = ("definitions", "curation", "leaks", "pii", "training", "alignment", "evaluation", "serving")
"""Modules of this package with a `measure() -> dict`, imported when asked for: some need large libraries."""


def main() -> None:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    found = {name: importlib.import_module(f"benchmarks.{name}").measure() for name in names}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
