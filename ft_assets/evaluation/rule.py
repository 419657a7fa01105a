"""What one rule of the gate says."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "fail", "inconclusive"]

FROM_WORST: tuple[Outcome, ...] = ("fail", "inconclusive", "pass")


@dataclass(frozen=True)
class Rule:
    """What one rule says, in a sentence with its figures."""

    name: str
    outcome: Outcome
    reason: str
