"""All that a report tells of one candidate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ft_assets.evaluation.gate import Verdict
from ft_assets.evaluation.honesty.findings import HonestyFound
from ft_assets.splitting.contamination import Match
from ft_assets.storage.candidates import Candidate


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it rests on.

    Attributes:
        rows: per-row results (`result_schema`).
        matches: eval rows that were trained on; `checked` were searched for.
        retention: per-row results of the harness's tasks (`RETENTION_SCHEMA`); None where none were asked for.
        tested: what the honesty tests wrote; None where none were asked for.
        digests: of what was judged, and of the recipe, as the receipt names them.
    """

    candidate: Candidate
    rows: pa.Table
    verdict: Verdict
    matches: Sequence[Match]
    checked: int
    retention: pa.Table | None
    tested: HonestyFound | None
    digests: Mapping[str, str]

    @property
    def contaminated(self) -> int:
        """Eval rows that were trained on."""
        return len({match.eval_id for match in self.matches})
