"""A ledger that grew batch by batch, in any order, against one that saw everything at once."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from ft_assets.recipe_data import Splitting
from ft_assets.sources.example import Example, to_table
from ft_assets.splitting.ledger import assign
from ft_assets.storage.home import Home
from ft_assets_tests.curation.rows import gram_set, jaccard
from ft_assets_tests.splitting.rows import by_id, changed, example, unrelated

_BATCHES = 50
_BRIDGES = 20
_SPLIT = Splitting(ledger="grown", validation=0.1, eval=0.2, cluster_jaccard=0.5)


def growing_rows(draw: random.Random, seed: int) -> tuple[list[Example], list[Example]]:
    """Rows and near-copies of a third of them, shuffled; and those among them that are half one, half another."""
    rows = unrelated(200, seed=seed)
    near = [example(changed(row.prompt, [draw.randrange(30)]), row.answer) for row in rows[:66]]
    pairs = zip(rows[100:][:_BRIDGES], rows[150:][:_BRIDGES], strict=True)
    bridges = [example(f"{one.prompt} {other.prompt}") for one, other in pairs]
    mixed = [*rows, *near, *bridges]
    draw.shuffle(mixed)
    return mixed, bridges


@pytest.mark.parametrize("seed", [1, 2])
def test_fifty_batches_in_random_order_agree_with_all_at_once(home: Home, seed: int) -> None:
    draw = random.Random(seed)
    rows, bridges = growing_rows(draw, seed)
    sides: dict[str, str] = {}
    clusters: dict[str, str] = {}
    for start in range(_BATCHES):
        arrived = [row for row in rows if row.id in sides]
        batch = [*rows[start::_BATCHES], *draw.sample(arrived, min(3, len(arrived)))]
        table = assign(home, to_table(batch), _SPLIT)
        for known, told in ((sides, by_id(table)), (clusters, by_id(table, "cluster"))):
            assert all(known.get(id, value) == value for id, value in told.items())
            known |= told
    assert by_id(assign(home, to_table(rows), _SPLIT)) == sides
    assert not list(crossing(rows, sides))

    at_once = assign(home, to_table(rows), _SPLIT.model_copy(update={"ledger": "at once"}))
    whole, bridge_ids = groups(by_id(at_once, "cluster")), {row.id for row in bridges}
    assert {cluster for cluster in whole if not cluster & bridge_ids} <= groups(clusters)
    bridged = frozenset[str]().union(*(cluster for cluster in whole if cluster & bridge_ids))
    quarantined = {id for id, side in sides.items() if side == "quarantine"}
    assert quarantined <= bridged
    assert quarantined, "no bridge came late: the rows of this test ask for some"
    assert_shares(sides)
    assert_shares(by_id(at_once))


def groups(clusters: dict[str, str]) -> set[frozenset[str]]:
    """The sets of rows that share a cluster."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for id, cluster in clusters.items():
        found[cluster].add(id)
    return {frozenset(members) for members in found.values()}


def crossing(rows: list[Example], sides: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of near-copies on two sides, by brute force."""
    used = [(row.id, gram_set(f"{row.prompt} {row.answer}")) for row in rows if sides[row.id] != "quarantine"]
    for place, (one, grams) in enumerate(used):
        for other, theirs in used[:place]:
            if sides[one] != sides[other] and jaccard(grams, theirs) >= _SPLIT.cluster_jaccard:
                yield one, other


def assert_shares(sides: dict[str, str]) -> None:
    shares = Counter(sides.values())
    used = len(sides) - shares["quarantine"]
    assert shares["eval"] / used == pytest.approx(_SPLIT.eval, abs=0.05)
    assert shares["validation"] / used == pytest.approx(_SPLIT.validation, abs=0.05)
