"""Challengers that a real server serves, taught what they say, and their rollouts."""

from pathlib import Path

from ft_assets.recipe_rollout import Rollout as Plan
from ft_assets.rollout.rollout import Rollout, rollouts_of
from ft_assets.rollout.start import _begin
from ft_assets.storage.home import Home
from ft_assets.storage.releases import find_release
from ft_assets_tests.serving.conftest import PROMPT


def taught_adapter(home: Home, base: Path, says: str, steps: int = 40) -> str:
    """Digest of an adapter that answers `PROMPT` with this, and ends."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    asked = tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, tokenize=False)
    prompt, answer = (tokenizer.encode(text) for text in (asked, f"{says}{tokenizer.eos_token}"))
    ids = torch.tensor([[*prompt, *answer]])
    labels = torch.tensor([[*[-100] * len(prompt), *answer]])
    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=64, target_modules="all-linear"))
    optimizer = torch.optim.Adam(tuned.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        tuned(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    return home.artifacts.write("adapters", lambda folder: _save(tuned, folder))


def begin(home: Home, challenger: str, champion: str, **plan: object) -> Rollout:
    """A running rollout of a release, half of the users to each arm, that only harm ends."""
    release = find_release(home, challenger)
    patient = Plan.model_validate({"steps": [0.5], "min_requests": 10_000, "max_requests": 10_000, **plan})
    with home.database.write() as connection:
        _begin(connection, release, champion, patient, "tests")
    return rollouts_of(home, release.model)[-1]


def _save(tuned: object, folder: Path) -> None:
    tuned.save_pretrained(folder)  # type: ignore[attr-defined]
    (folder / "README.md").unlink(missing_ok=True)
