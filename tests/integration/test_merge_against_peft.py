"""Every supported kind of adapter, merged by us and by peft itself, on tiny models of the families that tenants use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from runner.exits import BadSpec
from runner.merge import MergeReport, folders
from tests.merging import make_adapter, make_base, merged_by_peft, stored, units

pytestmark = pytest.mark.heavy
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TARGETS = {"phi3": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"], "gpt2": ["c_attn", "c_proj", "c_fc"]}
BOTH = ["embed_tokens", "lm_head"]
# name -> (configuration of the base, configuration of the adapter)
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rank and alpha patterns": ({}, {"rank_pattern": {"q_proj": 2, r"layers.1.mlp.*": 8}, "alpha_pattern": {"up_proj": 5}}),
    "rank-stabilised": ({}, {"use_rslora": True}),
    "pattern of targets": ({}, {"target_modules": r".*\.(self_attn\.q_proj|mlp\.(up|down)_proj)"}),
    "one layer": ({}, {"layers_to_transform": [1]}),
    "embeddings and head": ({}, {"modules_to_save": BOTH}),
    "norms": ({}, {"modules_to_save": ["norm", "input_layernorm"]}),
    "tied, trained apart": ({"tie_word_embeddings": True}, {"modules_to_save": BOTH}),
    "tied, embeddings alone": ({"tie_word_embeddings": True}, {"modules_to_save": ["embed_tokens"]}),
    "tied, head alone": ({"tie_word_embeddings": True}, {"modules_to_save": ["lm_head"]}),
    "tied, trained as one": (
        {"tie_word_embeddings": True}, {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
    ),
    "tied, some tokens": ({"tie_word_embeddings": True}, {"trainable_token_indices": [3, 70]}),
    "some tokens": ({}, {"trainable_token_indices": {"embed_tokens": [0, 79]}}),
    "LoRA of the head": ({}, {"target_modules": ["q_proj", "lm_head"]}),
    "biases": ({"attention_bias": True}, {"bias": "all"}),
    "biases of the pairs": ({"attention_bias": True}, {"target_modules": ["q_proj", "k_proj"], "lora_bias": True}),
    "lora_only without biases": ({}, {"bias": "lora_only"}),
}  # fmt: skip


def compare(tmp_path: Path, base: Path, adapter: Path, rows: int | None = None, most: int = 1) -> MergeReport:
    """Merge twice; every tensor that a loaded model has is within `most` units of peft's, and transformers finds all of them."""
    out = tmp_path / "out"
    out.mkdir()
    report = folders(base, adapter, out, settings={}, hashing=True)
    theirs = merged_by_peft(base, adapter, rows).state_dict()
    ours, old = stored(out), stored(base)
    for name, tensor in ours.items():
        assert units(tensor, theirs[name]) <= most, name
        if name in old and old[name].shape == tensor.shape:
            changed = int((old[name] != tensor).sum())
            assert changed == (report.changes[name].changed if name in report.changes else 0), name
    model, found = AutoModelForCausalLM.from_pretrained(out, dtype="auto", output_loading_info=True)
    assert not found["missing_keys"] | found["unexpected_keys"] | found["mismatched_keys"]
    for name, tensor in model.state_dict().items():
        assert units(tensor, theirs[name]) <= most, name
    return report


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma2", "gemma3", "mistral", "phi3", "gpt2"])
def test_plain_lora_is_within_one_unit_of_pefts(tmp_path: Path, family: str, dtype: torch.dtype) -> None:
    """All linear layers of each family in each type; fused layers and transposed ones among them."""
    base = make_base(tmp_path / "base", family, dtype)
    adapter = make_adapter(tmp_path / "adapter", base, target_modules=TARGETS.get(family, LINEAR))
    report = compare(tmp_path, base, adapter)
    assert len(report.changes) == 2 * len(TARGETS.get(family, LINEAR)) + (2 if family == "gpt2" else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_adapter_is_within_one_unit_of_pefts(tmp_path: Path, kind: str) -> None:
    """What was one tensor and was trained apart becomes two."""
    settings, config = KINDS[kind]
    base = make_base(tmp_path / "base", **settings)
    adapter = make_adapter(tmp_path / "adapter", base, **{"target_modules": LINEAR, **config})
    compare(tmp_path, base, adapter)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_dora_is_within_one_unit_of_pefts(tmp_path: Path, family: str, dtype: torch.dtype) -> None:
    """In 32 bits the order of summing a row's norm shows: within four units there."""
    base = make_base(tmp_path / "base", family, dtype)
    adapter = make_adapter(tmp_path / "adapter", base, target_modules=TARGETS.get(family, LINEAR), use_dora=True)
    report = compare(tmp_path, base, adapter, most=4 if dtype == torch.float32 else 1)
    assert {change.kind for change in report.changes.values()} == {"dora"}


def test_lora_of_embeddings_is_rounded_once(tmp_path: Path) -> None:
    """Closer than peft, which rounds what is added to the base's type before it adds."""
    base = make_base(tmp_path / "base")
    adapter = make_adapter(tmp_path / "adapter", base, target_modules=["embed_tokens"])
    (tmp_path / "out").mkdir()
    folders(base, adapter, tmp_path / "out", settings={}, hashing=False)
    pair = load_file(adapter / "adapter_model.safetensors")
    a, b = (pair[f"base_model.model.model.embed_tokens.lora_embedding_{half}"] for half in "AB")
    name = "model.embed_tokens.weight"
    exact = (stored(base)[name].float() + (b @ a).T * 1.5).bfloat16()
    assert units(stored(tmp_path / "out")[name], exact) == 0


@pytest.mark.parametrize("tied", [True, False])
def test_a_resized_vocabulary_moves_the_tensors_and_the_configuration(tmp_path: Path, tied: bool) -> None:
    """As LLaMA Factory's `resize_vocab` trains it: embeddings and head are saved whole, in the new size."""
    base = make_base(tmp_path / "base", tie_word_embeddings=tied)
    config = {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True} if tied else {"modules_to_save": BOTH}
    adapter = make_adapter(tmp_path / "adapter", base, rows=128, target_modules=["q_proj"], **config)
    compare(tmp_path, base, adapter, rows=128)


@pytest.mark.parametrize(
    ("settings", "config", "named"),
    [
        ({"tie_word_embeddings": True}, {"target_modules": ["q_proj", "embed_tokens"]}, "share their weight"),
        ({"tie_word_embeddings": True}, {"target_modules": ["q_proj", "lm_head"]}, "shares its weight"),
        ({"attention_bias": True}, {"target_modules": ["q_proj"], "bias": "lora_only"}, "was not saved"),
        ({}, {"target_modules": ["q_proj"], "init_lora_weights": "pissa"}, "init_lora_weights: pissa"),
    ],
)  # fmt: skip
def test_what_peft_itself_does_not_merge_exactly_is_refused_by_name(
    tmp_path: Path, settings: dict[str, Any], config: dict[str, Any], named: str
) -> None:
    """A merged model that answers otherwise than base and adapter did must not be published."""
    base = make_base(tmp_path / "base", **settings)
    adapter = make_adapter(tmp_path / "adapter", base, **config)
    with pytest.raises(BadSpec, match=named):
        folders(base, adapter, tmp_path, settings={}, hashing=False)
