"""Two hundred promotions and rollbacks at once, by several processes: one champion at every moment, no move lost."""

import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context

from ft_assets.errors import Refused
from ft_assets.recipe import Recipe
from ft_assets.registry.ledger import BASE, Entry, entries
from ft_assets.registry.releases import release
from ft_assets.registry.rollback import rollback
from ft_assets.registry.routing import route
from ft_assets.rollout.controller import make
from ft_assets.rollout.judge import Verdict
from ft_assets.rollout.rollout import open_rollout
from ft_assets.rollout.start import start
from ft_assets.storage.home import Home
from ft_assets_tests.registry.attempts import passed

MOVES, PROCESSES = 200, 4


def test_there_is_one_champion_at_every_moment(home: Home, recipe: Recipe) -> None:
    keys = [release(home, "tiny", passed(home, recipe, f"candidate {n}").key).candidate for n in range(6)]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        each = MOVES // PROCESSES
        told = sum(
            pool.map(_move, [home.root] * PROCESSES, [keys] * PROCESSES, range(PROCESSES), [each] * PROCESSES)
        )
    ledger = entries(home, "tiny")
    moves = Counter(entry.action for entry in ledger)
    assert moves["promote"] + moves["rollback"] == told == MOVES, "what was told to be done is what was done"
    assert min(moves["promote"], moves["rollback"]) > MOVES // 10
    assert [entry.seq for entry in ledger] == [*range(1, len(ledger) + 1)]
    _assert_each_follows_the_one_before(ledger)
    assert route(home, "tiny").champion.address == ledger[-1].champion


def _assert_each_follows_the_one_before(ledger: list[Entry]) -> None:
    """Whoever moved the model had seen the state that it was in."""
    champion, challenger = BASE, None
    for entry in ledger:
        match entry.action:
            case "canary":
                assert challenger is None
                assert (entry.champion, challenger := entry.address) == (champion, entry.address)
            case "promote":
                assert entry.address == entry.champion == challenger
            case "rollback":
                assert entry.address in (champion, challenger)
                assert entry.champion != champion or challenger is not None
            case other:
                raise AssertionError(other)
        if entry.action != "canary":
            challenger = None
        champion = entry.champion


def _move(root: str, keys: list[str], seed: int, moves: int) -> int:
    """Promote and roll back at random until so many moves were made, and look at the route between."""
    home, draw, made = Home(root), random.Random(seed), 0
    while made < moves:
        made += draw.choice([_promote, _roll_back])(home, draw.choice(keys))
        seen = route(home, "tiny")
        assert seen.challenger is None or seen.challenger.address != seen.champion.address
    return made


def _promote(home: Home, key: str) -> int:
    with suppress(Refused):  # another one is on trial: that one is promoted
        start(home, "tiny", key, "a process")
    rollout = open_rollout(home, "tiny")
    if rollout is None:
        return 0
    won = Verdict(rollout.id, rollout.candidate, rollout.challenger, "promote", "won", {})
    return int(make(home, rollout, won))


def _roll_back(home: Home, _: str) -> int:
    try:
        rollback(home, "tiny", None, "a process", "worse")
    except Refused:  # there is nothing to go back to, or another process was faster
        return 0
    return 1
