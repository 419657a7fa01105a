"""Which planted leaks are found, by disguise: by the contamination search, and by the ledger before it deals.

On real rows (functions of the standard library, whose answers are short) and on generated conversations of two
exchanges and about 60 words (whose answers are long). None of the rows left is like another, so that only what was
planted, or a mistake, can be found.
"""

from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from random import Random
from typing import Any

from benchmarks.curation_rows import chat, make_rows, similar_by_brute_force
from benchmarks.leaks_disguises import DISGUISES, Copy
from ft_assets.recipe_data import Splitting
from ft_assets.sources.docstrings import read_docstrings
from ft_assets.sources.example import Example, to_table
from ft_assets.splitting.clusters import find_clusters
from ft_assets.splitting.contamination import search
from ft_assets.splitting.passages import read_passages

_PACKAGES = ["asyncio", "email", "http", "importlib", "json", "logging", "multiprocessing", "unittest", "xml"]
_PLANTED = 200
_ROWS = 1_200
_UNLIKE = 0.25
_JACCARD = Splitting().cluster_jaccard
_ACCENTS = str.maketrans("eu", "éü")


def measure() -> dict:
    """`{rows: {disguise: {"planted", "found_by_search", "found_by_ledger"}}}`.

    `unrelated` says how many judging rows were found with nothing planted: those are mistakes.
    """
    rows = {"docstrings": docstring_rows(_ROWS), "chat": chat_rows(_ROWS)}
    return {name: measure_rows(found, _PLANTED) for name, found in rows.items()}


def measure_rows(rows: Sequence[Example], planted: int) -> dict[str, dict[str, Any]]:
    """Each disguise on the first `planted` rows, which judge; all others train, or were dealt before."""
    judging, others = rows[:planted], rows[planted:]
    applicable = {
        name: copy
        for name, copy in DISGUISES.items()
        if name != "reordered_turns" or len(rows[0].messages) > 2
    }
    return {
        **{name: _planted(judging, others, copy) for name, copy in applicable.items()},
        "unrelated": {
            "rows": planted,
            "found_by_search": len({id for id, _ in _found_by_search(judging, others)}),
            "found_by_ledger": sum(bool(touched) for touched in _touched(others, judging).values()),
        },
    }


def docstring_rows(count: int) -> list[Example]:
    """Functions of the standard library and their docstrings."""
    return _unlike(read_docstrings(_PACKAGES, "PSF-2.0", 3 * count), count)


def chat_rows(count: int) -> list[Example]:
    """Generated conversations of two exchanges, with accents."""
    return _unlike((_conversation(text.translate(_ACCENTS)) for text in make_rows(3 * count).texts), count)


def _conversation(text: str) -> Example:
    words = text.split()
    ends = [0, 14, 24, 36, len(words)]
    return chat(*(" ".join(words[start:end]) for start, end in pairwise(ends)))


def _unlike(rows: Iterable[Example], count: int) -> list[Example]:
    """`count` rows at most, in a random order, none like another by brute force."""
    found = list(rows)
    Random(0).shuffle(found)
    alike = similar_by_brute_force([f"{row.prompt} {row.answer}" for row in found], _UNLIKE)
    dropped = {later for _, later in alike}
    return list(islice((row for place, row in enumerate(found) if place not in dropped), count))


def _planted(judging: Sequence[Example], others: Sequence[Example], copy: Copy) -> dict[str, int]:
    random = Random(1)
    copies = [copy(row, others[-1 - place], random) for place, row in enumerate(judging)]
    # What a copy borrows its other half from is not there, so that it tells nothing.
    there = others[: len(others) - len(judging)]
    found = _found_by_search(judging, [*there, *copies])
    touched = _touched([*judging, *there], copies)
    return {
        "planted": len(copies),
        "found_by_search": sum((row.id, made.id) in found for row, made in zip(judging, copies, strict=True)),
        "found_by_ledger": sum(row.id in touched[made.id] for row, made in zip(judging, copies, strict=True)),
    }


def _found_by_search(judging: Sequence[Example], trained: Sequence[Example]) -> set[tuple[str, str]]:
    matches = search(to_table(judging), to_table(trained), _JACCARD)
    return {(match.eval_id, match.trained_id) for match in matches}


def _touched(known: Sequence[Example], new: Sequence[Example]) -> dict[str, set[str]]:
    """Ids of the known rows that each new row is linked to."""
    there = read_passages(to_table(known))
    clusters = find_clusters(read_passages(to_table(new)), there, there.ids, _JACCARD)
    return {id: set(cluster.touches) for cluster in clusters for id in cluster.members}
