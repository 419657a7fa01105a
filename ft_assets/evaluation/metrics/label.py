"""Classification: whether an answer is the right label, and how well each label is told from the others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ft_assets.recipe_metrics import plain_label

NO_LABEL = "(no label)"
"""What an answer counts as that is none of the labels."""


@dataclass(frozen=True)
class LabelScore:
    """How well one label is told from the others, 0 to 1. `support`: rows whose reference it is."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Classification:
    """What was answered where a label was right.

    Attributes:
        scores: of each label, in the recipe's order.
        confusion: of each label, how often each label, and last `NO_LABEL`, was the answer to a row of it.
    """

    scores: list[LabelScore]
    confusion: dict[str, list[int]]


def is_label(text: str, labels: Sequence[str]) -> bool:
    """Whether a whole text is one of the labels, case and white space aside."""
    return plain_label(text) in map(plain_label, labels)


def same_label(answer: str, reference: str) -> bool:
    """Whether an answer is the reference, case and white space aside."""
    return plain_label(answer) == plain_label(reference)


def classify(answers: Sequence[str], references: Sequence[str], labels: Sequence[str]) -> Classification:
    """Precision, recall, F1 and confusion of the rows whose reference is one of the labels.

    A ratio that has nothing below the line is 0, as in scikit-learn.
    """
    plain = [plain_label(label) for label in labels]
    said = [plain_label(answer) for answer in answers]
    wanted = [plain_label(reference) for reference in references]
    seen = Counter(zip(wanted, [each if each in plain else NO_LABEL for each in said], strict=True))
    scores = [_score(label, one, plain, seen) for label, one in zip(labels, plain, strict=True)]
    confusion = {
        label: [seen[one, other] for other in (*plain, NO_LABEL)]
        for label, one in zip(labels, plain, strict=True)
    }
    return Classification(scores, confusion)


def _score(label: str, one: str, plain: Sequence[str], seen: Counter[tuple[str, str]]) -> LabelScore:
    hits = seen[one, one]
    support = sum(seen[one, said] for said in (*plain, NO_LABEL))
    given = sum(seen[wanted, one] for wanted in plain)
    return LabelScore(
        label=label,
        precision=_ratio(hits, given),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, support + given),
        support=support,
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
