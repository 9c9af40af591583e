"""The certificate's probe on real merges of random adapters, under real peft, on a Llama of 100,000 weights."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from runner import merge
from runner.certify import certificate, probe
from runner.certify.certificate import Certificate, Change
from runner.exits import Mismatch
from tests.platform_copy import ROOT
from tests.runs import write_model

pytestmark = pytest.mark.heavy
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def trained(root: Path, dtype: torch.dtype, **options: object) -> tuple[Path, Path, Path]:
    """Base, adapter with random numbers, and their merge."""
    base, adapter, out = root / "base", root / "adapter", root / "out"
    write_model(base)
    stored = load_file(base / "model.safetensors")
    save_file({name: each.to(dtype) for name, each in stored.items()}, base / "model.safetensors", {"format": "pt"})
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(0)
    chosen = {"r": 4, "lora_alpha": 16, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **options}
    made = get_peft_model(model, LoraConfig(**chosen))
    for parameter in made.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn_like(parameter)
    made.save_pretrained(adapter)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / name, adapter / name)
    out.mkdir()
    merge.folders(base, adapter, out, settings={}, hashing=True)
    return base, adapter, out


def reasons(base: Path, adapter: Path, out: Path) -> list[str]:
    """Why the merge is refused."""
    weights, logits, dtype = probe.compare(base, adapter, out)
    made = Certificate(
        version=1, run_id="exp", run_sha256="0" * 64, method="merge", dtype=dtype, base={}, trained={}, untouched=0,
        result={"model.safetensors": {"sha256": "0" * 64, "size": 1}}, checks=[], weights=weights, logits=logits, versions={},
        changes={"any": Change(kind="lora", elements=1, changed=1, norm=1.0)},
    )  # fmt: skip
    return certificate.faults(made)


def test_the_decision_states_the_figures_that_are_used() -> None:
    """ADR 044 gives the tolerances in units of each type's roundoff; they are the probe's."""
    text = (ROOT / "docs/adr/044-a-merge-is-certified-against-peft.md").read_text()
    powers = re.search(r"u \(2\^-(\d+) bfloat16, 2\^-(\d+) float16, 2\^-(\d+) float32\)", text)
    figures = re.search(r"(\d+) u, at least (1e-\d+)", text)
    lead = re.search(r"leads by (\d+) tolerances", text)
    cancelled = re.search(r"2\^-(\d+) of the tensor's largest", text)
    assert powers
    assert figures
    assert lead
    assert cancelled
    types = (torch.bfloat16, torch.float16, torch.float32)
    stated = {
        dtype: max(int(figures[1]) * 2.0 ** -int(power), float(figures[2]))
        for dtype, power in zip(types, powers.groups(), strict=True)
    }
    assert stated == probe.TOLERANCE
    assert [2 * 2.0 ** -int(power) for power in powers.groups()] == [torch.finfo(dtype).eps for dtype in types]
    assert (int(lead[1]), 2.0 ** -int(cancelled[1])) == (probe.DECIDED, probe.CANCELLED)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_true_merge_is_certified(tmp_path: Path, dtype: torch.dtype) -> None:
    """Weights are peft's, logits those of base + adapter, and every type stays a third below its tolerance."""
    folders = trained(tmp_path, dtype)
    assert reasons(*folders) == []
    weights, logits, found = probe.compare(*folders)
    assert (weights.tensors, weights.different) == (14, 0)
    assert logits.difference < logits.tolerance / 3
    assert logits.argmax_decided >= 20
    assert found == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"target_modules": ["q_proj", "v_proj"], "modules_to_save": ["embed_tokens"]},
        {"use_rslora": True, "rank_pattern": {"q_proj": 8}, "alpha_pattern": {"q_proj": 4}},
    ],
    ids=["dora", "modules_to_save", "rslora and patterns"],
)
def test_every_kind_of_adapter_runs_without_the_whole_model(tmp_path: Path, options: dict[str, object]) -> None:
    """Peft works on parts that have weights only while they compute."""
    assert reasons(*trained(tmp_path, torch.bfloat16, **options)) == []


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_scale_that_is_a_tenth_off_is_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    """Also where the logits alone could not tell it from rounding."""
    base, adapter, out = trained(tmp_path, dtype)
    before, after = load_file(base / "model.safetensors"), load_file(out / "model.safetensors")
    wrong = {
        name: (before[name].float() + 1.1 * (each.float() - before[name].float())).to(dtype)
        for name, each in after.items()
    }
    save_file(wrong, out / "model.safetensors", {"format": "pt"})
    assert any("times as far from peft's as rounding explains" in fault for fault in reasons(base, adapter, out))


def test_two_layers_in_each_others_place_are_refused(tmp_path: Path) -> None:
    """A tensor that no adapter touches is seen by the logits."""
    base, adapter, out = trained(tmp_path, torch.float32, target_modules=["q_proj"])
    after = load_file(out / "model.safetensors")
    first, second = (f"model.layers.{number}.mlp.up_proj.weight" for number in (0, 1))
    after[first], after[second] = after[second].clone(), after[first].clone()
    save_file(after, out / "model.safetensors", {"format": "pt"})
    assert any("logits differ from those of base + adapter" in fault for fault in reasons(base, adapter, out))


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    """NaN compares with nothing, and still is beyond every tolerance."""
    base, adapter, out = trained(tmp_path, torch.float32)
    after = load_file(out / "model.safetensors")
    after["model.layers.1.mlp.down_proj.weight"][0, 0] = float("nan")
    save_file(after, out / "model.safetensors", {"format": "pt"})
    assert len(reasons(base, adapter, out)) == 3


def test_a_tensor_of_another_shape_is_refused(tmp_path: Path) -> None:
    """By name, before anything is computed with it."""
    base, adapter, out = trained(tmp_path, torch.float32)
    stored = load_file(base / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    save_file({**stored, name: stored[name][:, :32].contiguous()}, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(Mismatch, match="up_proj"):
        probe.compare(base, adapter, out)


def test_fused_experts_are_loaded_as_a_whole(tmp_path: Path) -> None:
    """An architecture that holds its weights in another form than its files is certified too."""
    from transformers import AutoConfig

    base, adapter, out = tmp_path / "base", tmp_path / "adapter", tmp_path / "out"
    write_model(base)
    config = AutoConfig.for_model(
        "qwen2_moe", hidden_size=32, intermediate_size=32, moe_intermediate_size=16, shared_expert_intermediate_size=16,
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, vocab_size=264,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(base)
    made = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "o_proj"], task_type="CAUSAL_LM"))
    for parameter in made.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn_like(parameter)
    made.save_pretrained(adapter)
    out.mkdir()
    merge.folders(base, adapter, out, settings={}, hashing=True)
    with probe.Shards(base) as shards:
        assert probe.Hollow(base, shards).whole
    assert reasons(base, adapter, out) == []
