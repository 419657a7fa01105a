"""A metric that is a Python function of the recipe's author."""

import math
from collections.abc import Callable
from importlib import import_module
from numbers import Real
from typing import Any

from ft_assets.errors import WrongInput
from ft_assets.recipe_metrics import PythonFunction
from ft_assets.storage.voice import Say


class FunctionScore:
    """Scores by a function, which is called with prompt, answer and reference.

    Attributes:
        failures: answers on which the function failed, or gave what is no number or worse than the worst.

    Raises:
        WrongInput: the function cannot be imported, or is none.
    """

    def __init__(self, metric: PythonFunction, say: Say) -> None:
        self._metric, self._say = metric, say
        self._function = _import(metric)
        self.failures = 0

    def __call__(self, prompt: str, answer: str, reference: str) -> float:
        """The function's score; the worst where it fails."""
        try:
            score = _number(self._function(prompt, answer, reference))
        except (Exception, SystemExit) as error:
            return self._fail(f"{type(error).__name__}: {error}")
        worst = self._metric.worst
        if score < worst if self._metric.up else score > worst:
            return self._fail(f"{score:g} is worse than the recipe's `worst`, {worst:g}")
        return score

    def _fail(self, reason: str) -> float:
        self.failures += 1
        if self.failures == 1:  # the first reason is as good as hundreds
            metric = self._metric
            self._say(
                f"{metric.called}: {metric.function} failed on an answer, which scores {metric.worst:g}: {reason}"
            )
        return self._metric.worst


def _number(value: Any) -> float:
    if not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{value!r:.80} is no number")
    return float(value)


def _import(metric: PythonFunction) -> Callable[..., Any]:
    module, name = metric.function.split(":")
    try:
        found = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:
        raise WrongInput(
            f"evaluation.metrics, {metric.called}: {metric.function} cannot be imported ({type(error).__name__}: "
            f"{error}); write `package.module:function`, and install the package where evaluation runs"
        ) from error
    if not callable(found):
        raise WrongInput(f"evaluation.metrics, {metric.called}: {metric.function} is no function")
    return found
