"""How a child process speaks to people: to its log file, and to the Dagster run that started it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dagster_pipes import PipesEnvVarParamsLoader, open_dagster_pipes

Say = Callable[[str], object]
"""Takes one line for people."""


@contextmanager
def voice(logger: logging.Logger) -> Iterator[Say]:
    """Lines go to `logger`, and to the Dagster run's log or, outside Dagster, to standard output."""

    def tell(line: str, speak: Say) -> None:
        logger.info(line)
        speak(line)

    if not PipesEnvVarParamsLoader().is_dagster_pipes_process():
        yield lambda line: tell(line, lambda text: print(text, flush=True))
        return
    with open_dagster_pipes() as pipes:
        yield lambda line: tell(line, pipes.log.info)
