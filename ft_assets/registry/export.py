"""A released adapter merged into its base: a folder that any engine loads, with its model card."""

import shutil
import subprocess
from pathlib import Path

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.registry.card import card
from ft_assets.registry.names import release_named
from ft_assets.storage.candidates import get_candidate
from ft_assets.storage.child import run_module
from ft_assets.storage.home import Home


def export(home: Home, name: str, out: Path) -> None:
    """Write the merged model of a release to a folder that does not exist yet; a reader never sees half of it.

    Raises:
        WrongInput: there is no such release, or `out` exists or cannot be made.
        Refused: the base's or the adapter's bytes are not those that were released.
        BrokenEnvironment: they are gone, or the model could not be written.
    """
    if out.exists():
        raise WrongInput(f"{out} exists; name a folder that does not, or remove it first")
    release = release_named(home, name)
    base = home.artifacts.path("bases", release.base_digest)
    adapter = home.artifacts.path("adapters", release.adapter_digest)
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise WrongInput(f"{out} cannot be made ({error.strerror}); name a folder that can") from error
    try:
        run_module("ft_assets.registry.merge", base, adapter, draft)
        (draft / "README.md").write_text(card(release, get_candidate(home, release.model, release.candidate)))
        draft.rename(out)
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise BrokenEnvironment(f"{release.address} could not be merged into its base: {reason}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
