"""Rows that answer the same prompt differently: a model cannot learn both, so a stated rule says which stays."""

from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa

from ft_assets.recipe_data import Curation

REASON = "contradiction"


def find_contradictions(rows: pa.Table, settings: Curation) -> dict[int, str]:
    """Which rows to drop: index in `rows` to why, in words.

    The rule is `contradictions`: of the rows with one prompt the newest stays (a correction before any other), the
    oldest stays, none stays (`reject`), or all stay (`keep`). Between rows of one moment the later in `rows` counts
    as the newer. Preference and KTO rows judge answers, so they never contradict one another.

    Args:
        rows: `SIGNATURE_SCHEMA`.
    """
    if settings.contradictions == "keep":
        return {}
    prompts, answers, judged = (rows[name].to_pylist() for name in ("prompt", "answer", "judged"))
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        if not judged[index]:
            groups[prompt].append(index)
    return {
        index: detail
        for members in groups.values()
        if len({answers[index] for index in members}) > 1
        for index, detail in _losers(rows, members, settings.contradictions).items()
    }


def _losers(rows: pa.Table, members: Sequence[int], policy: str) -> dict[int, str]:
    if policy == "reject":
        words = f"{len(members)} rows answer this prompt differently"
        return dict.fromkeys(members, words)
    ids, kinds, times = (
        rows[name].take(pa.array(members)).to_pylist() for name in ("id", "kind", "created_at")
    )
    age = [
        (kinds[n] == "correction" if policy == "newest" else False, times[n], n) for n in range(len(members))
    ]
    winner = (max if policy == "newest" else min)(age)[2]
    words = f"{ids[winner]} answers the same prompt differently, and is the {policy}"
    answers = rows["answer"].take(pa.array(members)).to_pylist()
    return {index: words for n, index in enumerate(members) if answers[n] != answers[winner]}
