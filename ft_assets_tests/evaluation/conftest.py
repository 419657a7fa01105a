"""A tiny base, and adapters on it that are far from zero."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ft_assets.bases.base_models import prepare_base
from ft_assets.storage.home import Home

if TYPE_CHECKING:
    from ft_assets.evaluation.generation import Engine


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny random base."""
    from ft_assets.recipe import Base

    base = Base(name="tiny-random", hub=None, package=None, tiny=True)
    return prepare_base(Home(tmp_path_factory.mktemp("bases")), base)[1]


@pytest.fixture(scope="session")
def tiny_adapters(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two adapters, `one` and `two`, of different rank, with random weights in both halves."""
    return {
        name: write_adapter(tiny_base, tmp_path_factory.mktemp(name), rank, seed)
        for seed, (name, rank) in enumerate([("one", 4), ("two", 8)])
    }


@pytest.fixture(scope="module")
def engine(tiny_base: Path, tiny_adapters: dict[str, Path]) -> "Engine":
    """The tiny base with both adapters in memory."""
    from ft_assets.evaluation.generation import Engine

    engine = Engine.load(tiny_base, "cpu")
    for name, folder in tiny_adapters.items():
        engine.add_adapter(name, folder)
    return engine


def write_adapter(
    base: Path, folder: Path, rank: int, seed: int, scale: float = 0.2, **settings: Any
) -> Path:
    """Write a random adapter of `base`; a zero `scale` leaves the base as it is. `settings` are of `LoraConfig`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = {"target_modules": "all-linear", "task_type": "CAUSAL_LM", **settings}
    adapted = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, **settings))
    for name, weight in adapted.named_parameters():
        if "lora_magnitude" in name:
            weight.data *= 1 + scale * torch.randn_like(weight)
        elif "lora_" in name:
            torch.nn.init.normal_(weight, std=scale)
    adapted.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def trained_adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that has learned the house style of `world.TRAIN`, and so answers held-out rows better."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ft_assets.curation.chat import encode_example
    from ft_assets_tests.evaluation.world import TRAIN

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base, config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(60):
        ids, is_answer = encode_example(tokenizer, TRAIN[step % len(TRAIN)].messages)
        labels = [token if counts else -100 for token, counts in zip(ids, is_answer, strict=True)]
        model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("trained")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def harmful_adapter(trained_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained adapter turned round: it unlearns the house style."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("harmful")
    weights = load_file(trained_adapter / "adapter_model.safetensors")
    turned = {name: -weight if "lora_B" in name else weight for name, weight in weights.items()}
    save_file(turned, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_bytes((trained_adapter / "adapter_config.json").read_bytes())
    return folder
