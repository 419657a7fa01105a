"""What people call a candidate.

`MODEL@DIGEST` is the address of its release, `MODEL@CANDIDATE` its partition's key, and `MODEL@champion` and
`MODEL@challenger` are who serves, and who is on trial, at this moment.
"""

from ft_assets.errors import WrongInput
from ft_assets.registry.routing import route
from ft_assets.storage.candidates import Candidate, get_candidate, list_candidates
from ft_assets.storage.home import Home
from ft_assets.storage.releases import Release, list_releases


def candidate_named(home: Home, name: str) -> tuple[Candidate, Release | None]:
    """The candidate of a name, and its release where there is one.

    Raises:
        WrongInput: there is no such candidate; the message names those of the model.
    """
    model, at, rest = name.partition("@")
    candidates = {candidate.key: candidate for candidate in list_candidates(home, model)}
    releases = list_releases(home, model)
    address = _of_alias(home, model, rest) or name
    for release in releases:
        if address == release.address or rest == release.candidate:
            return get_candidate(home, model, release.candidate), release
    if at and rest in candidates:
        return candidates[rest], None
    known = ", ".join([release.address for release in releases] or [f"{model}@{key}" for key in candidates])
    raise WrongInput(
        f"no candidate is called {name}; write MODEL@DIGEST, MODEL@CANDIDATE or MODEL@champion, "
        f"such as one of: {known or 'none yet'}"
    )


def release_named(home: Home, name: str) -> Release:
    """The release of a name.

    Raises:
        WrongInput: there is no such candidate, or it was never released.
    """
    _, release = candidate_named(home, name)
    if release is None:
        raise WrongInput(f"{name} was never released; `ft-assets history` lists what was")
    return release


def _of_alias(home: Home, model: str, alias: str) -> str | None:
    """The address behind an alias, which is `base` where no adapter serves."""
    if alias not in ("champion", "challenger"):
        return None
    routed = route(home, model)
    arm = routed.champion if alias == "champion" else routed.challenger
    if arm is None or arm.adapter_digest is None:
        raise WrongInput(
            f"{model} has no {alias}: " + ("the base serves" if arm is not None else "no rollout is running")
        )
    return arm.address
