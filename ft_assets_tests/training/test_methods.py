"""Every method learns, gives the same bytes again, goes on from a checkpoint, and is what PEFT makes of its folder."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch  # noqa: TID253
from peft import PeftModel  # noqa: TID253
from peft.tuners.lora import LoraLayer  # noqa: TID253
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: TID253

from ft_assets.bases.packed_attention import ATTENTION
from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.recipe import Training
from ft_assets.recipe_training import Scale
from ft_assets.registry.merge import merge
from ft_assets.storage.artifacts import digest_folder
from ft_assets.training.adapters import load_with_adapter
from ft_assets.training.fused import FusedLoraLinear
from ft_assets.training.job import TrainingJob
from ft_assets.training.packing import answer_loss, make_pack
from ft_assets.training.quantized import load_quantized
from ft_assets.training.rows import read_rows
from ft_assets.training.worker import train
from ft_assets_tests.training.conftest import Jobs, run_here
from ft_assets_tests.training.test_scale import assert_same_training, run_scaled

CPU = torch.device("cpu")
OTHERS = ["rslora", "dora", "qlora", "full"]  # all of test_sft is about `lora`


def facts(job: TrainingJob) -> dict:
    return json.loads((job.output / "training.json").read_text())


def plain_base(folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=ATTENTION)


@pytest.mark.parametrize("method", OTHERS)
def test_it_learns_and_stock_peft_gives_its_best_validation_loss(
    new_job: Jobs, tiny_base: Path, method: str
) -> None:
    job = new_job(method=method, rank=8)
    run_here(job)
    losses = dict(facts(job)["validation_loss"])
    assert losses[facts(job)["best_step"]] == min(losses.values()) < 0.8 * losses[0]
    base = load_quantized(tiny_base, CPU, torch.float32) if method == "qlora" else plain_base(tiny_base)
    model = PeftModel.from_pretrained(base, job.output)  # pyright: ignore[reportArgumentType]
    rows, _ = read_rows(AutoTokenizer.from_pretrained(tiny_base), job.validation[1], 1024)
    with torch.no_grad():
        loss = answer_loss(model, make_pack(rows, CPU)) / sum(sum(row.answer) for row in rows)
    assert loss.item() == pytest.approx(min(losses.values()), rel=1e-4)


@pytest.mark.parametrize("method", OTHERS)
def test_stopped_and_resumed_it_ends_at_the_same_bytes(new_job: Jobs, method: str) -> None:
    settings = {"method": method, "dropout": 0.1, "max_steps": 6, "validate_every": 2}
    quiet, job = new_job("quiet", **settings), new_job("stopped", **settings)
    run_here(quiet)
    with pytest.raises(BrokenEnvironment, match="ended at step 1"):
        train(job, str, parent=-1)  # whoever asked for it is gone
    assert run_here(job).resumed_from == 1
    assert digest_folder(job.output) == digest_folder(quiet.output)


def test_magnitudes_of_dora_are_trained_and_kept(new_job: Jobs, tiny_base: Path) -> None:
    job = new_job(method="dora", max_steps=4)
    run_here(job)
    weights = load_file(job.output / "adapter_model.safetensors")
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector"
    frozen = load_file(tiny_base / "model.safetensors")["model.layers.0.mlp.up_proj.weight"].norm(dim=1)
    assert weights[name].shape == frozen.shape and (weights[name] - frozen).abs().max() > 1e-3


def test_rslora_is_scaled_by_the_root_of_its_rank_and_stays_fused(tiny_base: Path) -> None:
    model = load_with_adapter(tiny_base, "tiny-random", Training(method="rslora", rank=9, alpha=6))
    layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    assert layers and all(isinstance(layer, FusedLoraLinear) and layer._plain() for layer in layers)
    assert {layer.scaling["default"] for layer in layers} == {6 / math.sqrt(9)}


def test_qlora_trains_on_a_base_of_four_bits_a_weight(tiny_base: Path) -> None:
    model = load_with_adapter(tiny_base, "tiny-random", Training(method="qlora"))
    layer = model.get_submodule("base_model.model.model.layers.0.mlp.up_proj")
    weight = layer.base_layer.weight  # pyright: ignore[reportAttributeAccessIssue]
    assert weight.dtype == torch.uint8 and weight.numel() == 160 * 64 // 2
    assert not weight.requires_grad and weight.quant_state.quant_type == "nf4"


def test_qlora_without_its_library_is_refused_before_the_first_step(
    new_job: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as Python marks what cannot be imported
    with pytest.raises(BrokenEnvironment, match=r"pip install 'ft-assets\[qlora\]'.* `method: lora`"):
        run_here(new_job(method="qlora"))


@pytest.mark.parametrize("method", ["rslora", "dora"])
def test_merged_into_its_base_it_says_the_same(
    new_job: Jobs, tiny_base: Path, tmp_path: Path, method: str
) -> None:
    job, ids = new_job(method=method, max_steps=6, rank=8), torch.arange(3, 40)[None]
    run_here(job)
    merge(tiny_base, job.output, tmp_path / "merged")
    base, merged = (
        AutoModelForCausalLM.from_pretrained(folder) for folder in (tiny_base, tmp_path / "merged")
    )
    with torch.no_grad():
        bare = base(ids).logits
        adapted = PeftModel.from_pretrained(base, job.output)(ids).logits
        assert torch.allclose(merged(ids).logits, adapted, atol=1e-4)
        assert not torch.allclose(bare, adapted, atol=1e-2)


def test_only_the_named_modules_get_an_adapter(new_job: Jobs) -> None:
    job = new_job(target_modules=["v_proj", "q_proj"], max_steps=2)
    run_here(job)
    told = json.loads((job.output / "adapter_config.json").read_text())
    assert told["target_modules"] == ["q_proj", "v_proj"]
    names = {name.split(".")[-3] for name in load_file(job.output / "adapter_model.safetensors")}
    assert names == {"q_proj", "v_proj"}


@pytest.mark.parametrize("name", ["c_attn", "proj", "lm_head", "embed_tokens"])
def test_a_module_that_the_base_has_not_is_refused_with_those_it_has(new_job: Jobs, name: str) -> None:
    with pytest.raises(WrongInput, match=rf"no layer {name} .*down_proj, gate_proj, k_proj, o_proj, q_proj"):
        run_here(new_job(target_modules=["q_proj", name]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "scale"),
    [
        ("dora", Scale(processes=2, strategy="fsdp", checkpoint_activations=True)),
        ("qlora", Scale(processes=2, checkpoint_activations=True)),
    ],
)
def test_two_processes_learn_what_one_learns(
    new_job: Jobs, monkeypatch: pytest.MonkeyPatch, method: str, scale: Scale
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one, two = (new_job(name, method=method, max_steps=8, weight_decay=0.1) for name in ("one", "two"))
    run_here(one)
    run_scaled(two, scale)
    assert_same_training(one, two)
