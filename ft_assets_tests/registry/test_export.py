"""What is exported answers as the adapter does on its base, and is whole or not there."""

from pathlib import Path

import pytest

from ft_assets.errors import Refused, WrongInput
from ft_assets.registry.export import export
from ft_assets.storage.home import Home
from ft_assets.storage.releases import Release

pytestmark = pytest.mark.slow


def test_the_merged_model_says_what_the_adapter_says(released: Release, home: Home, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    export(home, released.address, tmp_path / "merged")
    base = AutoModelForCausalLM.from_pretrained(home.artifacts.path("bases", released.base_digest))
    adapted = PeftModel.from_pretrained(base, str(home.artifacts.path("adapters", released.adapter_digest)))
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    ids = torch.tensor([tokenizer("def f(): pass")["input_ids"]])
    with torch.no_grad():
        assert torch.allclose(merged(ids).logits, adapted(ids).logits, atol=1e-4)
        with adapted.disable_adapter():
            assert not torch.allclose(merged(ids).logits, adapted(ids).logits, atol=1e-3)
    assert tokenizer.chat_template
    assert (tmp_path / "merged" / "README.md").read_text().startswith(f"# {released.address}")
    with pytest.raises(WrongInput, match="merged exists"):
        export(home, released.address, tmp_path / "merged")


def test_changed_or_unusable_bytes_leave_nothing_behind(
    released: Release, home: Home, tmp_path: Path
) -> None:
    weights = home.artifacts.path("adapters", released.adapter_digest) / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(Refused, match="adapters"):
        export(home, released.address, tmp_path / "merged")
    with pytest.raises(WrongInput, match="no candidate is called"):
        export(home, "tiny@000000000000", tmp_path / "merged")
    weights.write_bytes(whole)
    (tmp_path / "a_file").write_text("")
    with pytest.raises(WrongInput, match="cannot be made"):
        export(home, released.address, tmp_path / "a_file" / "merged")
    assert sorted(path.name for path in tmp_path.iterdir() if "merged" in path.name) == []
