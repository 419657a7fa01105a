"""What people call a candidate: the address of its release, or `MODEL@` and the key of its partition."""

from ft_assets.errors import WrongInput
from ft_assets.storage.candidates import Candidate, get_candidate, list_candidates
from ft_assets.storage.home import Home
from ft_assets.storage.releases import Release, list_releases


def candidate_named(home: Home, name: str) -> tuple[Candidate, Release | None]:
    """The candidate of `MODEL@DIGEST` or `MODEL@CANDIDATE`, and its release where there is one.

    Raises:
        WrongInput: there is no such candidate; the message names those of the model.
    """
    model, at, rest = name.partition("@")
    candidates = {candidate.key: candidate for candidate in list_candidates(home, model)}
    releases = list_releases(home, model)
    for release in releases:
        if name == release.address or rest == release.candidate:
            return get_candidate(home, model, release.candidate), release
    if at and rest in candidates:
        return candidates[rest], None
    known = ", ".join([release.address for release in releases] or [f"{model}@{key}" for key in candidates])
    raise WrongInput(
        f"no candidate is called {name}; write MODEL@DIGEST or MODEL@CANDIDATE, such as one of: {known or 'none yet'}"
    )
