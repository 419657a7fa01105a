"""A model as judge: how often it prefers an answer to the reference, whichever of the two it reads first.

Models lean to the answer that they read first, or last (Zheng et al. 2023, "Judging LLM-as-a-judge"), so each pair is
judged in both orders, and only what holds in both counts.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from ft_assets.errors import Refused
from ft_assets.evaluation.metrics.agreement import Agreement, agreement, read_labels
from ft_assets.evaluation.metrics.bill import Bill
from ft_assets.evaluation.metrics.chat_endpoint import ChatEndpoint, read_key
from ft_assets.evaluation.metrics.comparison_turns import Comparison, Verdict
from ft_assets.evaluation.metrics.judgements import Judgements
from ft_assets.recipe_metrics import Judge
from ft_assets.storage.voice import Say

_TIE: Verdict = "tie"
_SCORES: dict[Verdict, float] = {"a": 1.0, "tie": 0.5, "b": 0.0}


class JudgeScore:
    """Scores answers by a judge that people agree with.

    Args:
        folder: where verdicts are kept.
        alive: called before every question; raises where nobody waits for the answer any more.
        endpoint: where the judge is asked; None is as the recipe says.

    Raises:
        WrongInput: the key or the file of labels is not there, or the file is not as it should be.
        Refused: the judge agrees too little with people.
        BrokenEnvironment: it cannot be asked.
    """

    def __init__(
        self,
        judge: Judge,
        folder: Path,
        say: Say,
        alive: Callable[[], None],
        endpoint: ChatEndpoint | None = None,
    ) -> None:
        self._judge, self._say = judge, say
        endpoint = endpoint or ChatEndpoint(judge.url, judge.model, read_key(judge.key_variable))
        self._judgements = Judgements(judge, endpoint, folder, say, alive)
        self._labels, self._agreement = 0, None
        if judge.labels is not None:
            self._agreement = self._meet_people(Path(judge.labels))

    def __call__(self, pairs: Sequence[Comparison]) -> list[float]:
        """1 where answer a is preferred in both orders, 0 where b is, else ½."""
        verdicts = self._both_orders(pairs)
        self._tell()
        return [_SCORES[verdict] for verdict in verdicts]

    @property
    def bill(self) -> Bill:
        """What was asked so far, and what that took."""
        done, found = self._judgements, self._agreement
        return Bill(
            asked=done.asked,
            reused=done.reused,
            unparsed=done.unparsed,
            tokens=done.tokens,
            money=done.tokens * self._judge.price_per_million_tokens / 1e6,
            kappa=None if found is None else found.kappa,
            kappa_error=None if found is None else found.error,
            labels=self._labels,
        )

    def _both_orders(self, pairs: Sequence[Comparison]) -> list[Verdict]:
        # Equal texts are a tie without asking: a verdict on them could only show the judge's lean.
        different = [pair for pair in pairs if pair.answer_a != pair.answer_b]
        said = self._judgements.of([*different, *(pair.swapped() for pair in different)])
        first, second = said[: len(different)], said[len(different) :]
        agreed: dict[Comparison, Verdict] = {}
        for pair, one, other in zip(different, first, second, strict=True):
            agreed[pair] = _both(one, other)
        return [agreed.get(pair, _TIE) for pair in pairs]

    def _meet_people(self, path: Path) -> Agreement:
        judge, labelled = self._judge, read_labels(path)
        verdicts = self._both_orders([each.comparison for each in labelled])
        found = agreement([each.better for each in labelled], verdicts)
        self._labels = len(labelled)
        if found is None or found.kappa < judge.min_kappa:
            agrees = (
                "nothing can be told" if found is None else f"kappa is {found.kappa:.2f} ± {found.error:.2f}"
            )
            raise Refused(
                f"the judge {judge.model} is not believed: against {len(labelled)} comparisons of people in {path} "
                f"{agrees}, and {judge.min_kappa:.2f} is wanted; better the rubric, choose another model, or leave "
                f"the metric {judge.called} out"
            )
        self._say(
            f"{judge.called}: {judge.model} agrees with people on {len(labelled)} comparisons: kappa "
            f"{found.kappa:.2f} ± {found.error:.2f}"
        )
        return found

    def _tell(self) -> None:
        bill, name = self.bill, self._judge.called
        price = f" for {bill.money:.4f} at the recipe's price" if bill.money else ""
        self._say(
            f"{name}: {bill.asked} comparisons judged, {bill.reused} known already, {bill.tokens} tokens{price}"
        )
        if bill.unparsed:
            self._say(
                f"{name}: {bill.unparsed} comparisons got no verdict that can be read; each counts as a tie"
            )


def _both(first: Verdict, swapped: Verdict) -> Verdict:
    """The verdict that holds in both orders, in the words of the first; else a tie."""
    turned: dict[Verdict, Verdict] = {"a": "b", "b": "a", "tie": "tie"}
    return first if first == turned[swapped] else "tie"
