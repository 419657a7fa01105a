"""Who answers for which model: a picture of the database that is at most a second old.

The database is the truth. While it cannot be reached the last picture stays, and the log says so once. Before the
first there is none, and nothing is answered.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ft_assets.errors import FtAssetsError
from ft_assets.recipe import Serving
from ft_assets.registry.ledger import BASE
from ft_assets.registry.routing import Arm, Route, choose, route
from ft_assets.serving.deliverer import SILENT_SECONDS
from ft_assets.serving.keys import ApiKey, active_keys, ever_keyed
from ft_assets.serving.problems import MAX_SHOWN, ApiProblem
from ft_assets.serving.stamp import take_stamp
from ft_assets.storage.home import Home
from ft_assets.storage.postgres import heard_within
from ft_assets.storage.releases import Release, list_releases
from ft_assets.storage.tables import batches, candidates, promotion_ledger, releases

log = logging.getLogger(__name__)

REFRESH_SECONDS = 0.25
SEEN_SECONDS = 0.5
"""How long what the companion has seen is believed."""
WHOLE_SECONDS = 10.0
"""How long a picture may last that nothing seems to have changed: what no stamp shows (a copy of the database that was
put in its place, a key's scopes changed by hand) is followed by then."""
DEFAULTS = Serving.model_validate({})


@dataclass(frozen=True)
class Served:
    """One model's route, and how its recipe wants it served."""

    route: Route
    settings: Serving = DEFAULTS


@dataclass(frozen=True)
class Choice:
    """Who answers one request.

    Attributes:
        model: name that the answer is recorded under.
        arm: who answers.
        fallback: who answers if that one cannot; None when it was asked for by name.
        rollout: id of the rollout that this answer is evidence for.
        settings: of the model's recipe.
        shadow: who is asked the same in the background.
        sticky: what the arm was dealt by; None when it was asked for by name.
    """

    model: str
    arm: Arm
    fallback: Arm | None
    rollout: str | None
    settings: Serving
    shadow: Arm | None = None
    sticky: str | None = None


@dataclass(frozen=True)
class Picture:
    """Everything that may be asked for at one moment.

    Attributes:
        models: routes, by model name.
        releases: by address.
        keys: those that open something.
        keyed: whether a key was ever made.
    """

    models: Mapping[str, Served] = field(default_factory=dict)
    releases: Mapping[str, Release] = field(default_factory=dict)
    keys: tuple[ApiKey, ...] = ()
    keyed: bool = False

    def routed(self) -> list[Release]:
        """Releases that some user may get without naming one."""
        addresses = {arm.address for served in self.models.values() for arm in _live(served.route)}
        return [self.releases[address] for address in sorted(addresses) if address in self.releases]

    def max_batch(self) -> int:
        """Requests to decode together: the most that any recipe wants."""
        return max((served.settings.max_batch for served in self.models.values()), default=DEFAULTS.max_batch)

    def choose(self, asked: str, sticky: str) -> Choice:
        """Who answers a request for `asked`: a model name, the name of a release, or `base`.

        Args:
            asked: what the body calls `model`.
            sticky: the user's hash; the same user gets the same arm for as long as a rollout lasts.

        Raises:
            ApiProblem: 404, nothing is called so.
        """
        if asked == BASE:
            return Choice(BASE, Arm(BASE, None), None, None, DEFAULTS)
        if (release := self.release(asked)) is not None:
            served = self.models.get(release.model)
            settings = served.settings if served else DEFAULTS
            return Choice(release.model, Arm(release.address, release.adapter_digest), None, None, settings)
        if asked in self.models:
            served = self.models[asked]
            arm = choose(served.route, sticky)
            other = served.route.champion if arm != served.route.champion else None
            shadow = served.route.challenger if served.route.weight == 0 else None
            return Choice(asked, arm, other, served.route.rollout, served.settings, shadow, sticky)
        raise self.unknown(asked)

    def holds(self, choice: Choice) -> bool:
        """Whether an arm that was dealt is still dealt to somebody; one asked for by name always stays."""
        if choice.sticky is None or choice.model not in self.models:
            return True
        of = self.models[choice.model].route
        return choice.arm == of.champion or (choice.arm == of.challenger and of.weight > 0)

    def release(self, name: str) -> Release | None:
        """The release that is called so, as on the command line: see `registry/names.py`."""
        model, at, rest = name.partition("@")
        if not at or name in self.releases:
            return self.releases.get(name)
        if model in self.models and rest in ("champion", "challenger"):
            of = self.models[model].route
            arm = of.champion if rest == "champion" else of.challenger
            return self.releases.get(arm.address) if arm else None
        of_model = (release for release in self.releases.values() if release.model == model)
        return next((release for release in of_model if release.candidate == rest), None)

    def unknown(self, asked: str) -> ApiProblem:
        """What to say to someone who asks for what does not exist."""
        exist = ", ".join([BASE, *self.models, *self.releases])
        message = f"no model {asked[:MAX_SHOWN]!r}; there are: {exist}"
        return ApiProblem(404, message, param="model", code="model_not_found")


def take_picture(home: Home) -> Picture:
    """Read the routing of every model that the database has heard of."""
    settings = _settings(home)
    models = {name: Served(route(home, name), settings.get(name, DEFAULTS)) for name in _names(home)}
    # After the routes, as releases stay: whoever a route names is among them, else it would seem unable to answer.
    known = {release.address: release for release in list_releases(home)}
    return Picture(models, known, active_keys(home), ever_keyed(home))


class Routes:
    """The latest picture: every `REFRESH_SECONDS` it is seen whether it is still true, here or by the companion.

    Args:
        home: whose database is read.
        changed: called with the picture each time.
    """

    def __init__(self, home: Home, changed: Callable[[Picture], None]) -> None:
        self._picture: Picture | None = None
        self._home = home
        self._changed = changed
        self._reachable = True
        self._stamp: str | None = None
        self._taken_at = self._seen_at = float("-inf")
        self._news = asyncio.Event()

    @property
    def known(self) -> bool:
        """Whether there is a picture."""
        return self._picture is not None

    @property
    def picture(self) -> Picture:
        """The latest.

        Raises:
            ApiProblem: 503, there was none yet. Without it nobody knows who may ask.
        """
        if self._picture is None:
            raise _no_picture()
        return self._picture

    async def refresh(self) -> None:
        """Take a picture if the last one may be wrong; keep that if the database cannot be read."""
        try:
            self._picture = await asyncio.to_thread(self._latest)
        except (SQLAlchemyError, FtAssetsError, OSError):
            if self._reachable:
                stays = "the last known routing stays" if self.known else "until it can, nothing is answered"
                log.exception("the database cannot be read; %s", stays)
            self._reachable = False
            return
        if not self._reachable:
            log.info("the database can be read again")
        self._reachable = True
        self._changed(self._picture)

    @heard_within(SILENT_SECONDS)
    def _latest(self) -> Picture:
        stamp = take_stamp(self._home)  # before the picture: what changes in between is seen next time
        if self._picture is not None and self._young and stamp == self._stamp:
            return self._picture
        picture = take_picture(self._home)
        self._stamp, self._taken_at = stamp, time.monotonic()
        return picture

    def heard(self, stamp: str) -> None:
        """The companion has looked: it has seen this stamp."""
        if stamp == self._stamp:
            self._seen_at = time.monotonic()
        else:
            self._news.set()

    async def keep_fresh(self) -> None:
        """Refresh until cancelled; no failure ends it."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), REFRESH_SECONDS)
            try:
                await self._follow()
            except Exception:
                log.exception("refreshing the routing failed; it is tried again")

    async def _follow(self) -> None:
        seen = self._reachable and time.monotonic() - self._seen_at < SEEN_SECONDS
        if self._picture is not None and self._young and seen and not self._news.is_set():
            self._changed(self._picture)
            return
        self._news.clear()
        await self.refresh()

    @property
    def _young(self) -> bool:
        return time.monotonic() - self._taken_at < WHOLE_SECONDS


def _no_picture() -> ApiProblem:
    message = (
        "this server cannot read its database yet, so it does not know who may ask; try again in a second"
    )
    return ApiProblem(503, message, code="database_away", headers={"Retry-After": "1"})


def _live(of: Route) -> list[Arm]:
    return [of.champion, of.challenger] if of.challenger is not None else [of.champion]


def _names(home: Home) -> list[str]:
    tables = (batches, candidates, releases, promotion_ledger)
    named = sa.union(*(sa.select(table.c.model) for table in tables)).subquery()
    return [row["model"] for row in home.database.rows(sa.select(named.c.model).order_by(named.c.model))]


def _settings(home: Home) -> dict[str, Serving]:
    """Serving settings of each model's newest candidate."""
    query = sa.select(candidates).order_by(candidates.c.opened_at)
    return {
        row["model"]: Serving.model_validate(row["recipe"]["serving"]) for row in home.database.rows(query)
    }
