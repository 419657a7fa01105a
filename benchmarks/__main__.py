"""`python -m benchmarks [NAME…]`: run every benchmark, or the named ones, and print one JSON object."""

import json
import sys
from collections.abc import Callable

from benchmarks import definitions

BENCHMARKS: dict[str, Callable[[], dict]] = {"definitions": definitions.measure}


def main() -> None:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    print(json.dumps({name: BENCHMARKS[name]() for name in names}, indent=2))


if __name__ == "__main__":
    main()
