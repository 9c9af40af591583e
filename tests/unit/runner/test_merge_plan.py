"""What is refused before a byte is written: bases and adapters that are damaged, do not fit, or cannot be merged exactly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from runner.exits import BadSpec, Mismatch, RunnerError
from runner.merge import adapter, base, layout, plan, texts
from tests.adapters import PREFIX, shapes, write_adapter
from tests.runs import HIDDEN, write_model, write_tensors

Q = f"{PREFIX}model.layers.0.self_attn.q_proj"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The random Llama in one file; its head is tied to its embeddings."""
    write_model(tmp_path / "base")
    return tmp_path / "base"


def planned(model: Path, tensors: dict[str, tuple[int, ...]] | None = None, **config: Any) -> plan.Plan:
    """The plan for that base and an adapter beside it."""
    write_adapter(model.parent / "adapter", tensors, **config)
    return plan.make(base.load(model), adapter.load(model.parent / "adapter"))


def shard(model: Path) -> dict[str, str]:
    """Divide the model into two files with an index; returns its weight map."""
    whole = base.load(model).shards["model.safetensors"].tensors
    names = list(whole)
    files = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for file, mine in files.items():
        write_tensors(model / file, {name: whole[name].shape for name in mine})
    weight_map = {name: file for file, mine in files.items() for name in mine}
    (model / "model.safetensors").unlink()
    write_index(model, weight_map)
    return weight_map


def write_index(model: Path, weight_map: dict[str, Any]) -> None:
    """Write the index file."""
    (model / base.INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))


def test_a_plan_names_each_touched_tensor_and_keeps_the_header(model: Path) -> None:
    """Four pairs, four tensors; nothing moves, so the file's header stays byte for byte."""
    made = planned(model)
    assert sorted(made.changes) == [
        f"model.layers.{layer}.self_attn.{name}_proj.weight" for layer in (0, 1) for name in ("o", "q")
    ]
    (only,) = layout.shards(base.load(model), made)
    assert (model / only.name).read_bytes().startswith(only.header)
    assert only.size == (model / only.name).stat().st_size


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"peft_type": "IA3"}, "peft_type IA3"),
        ({"target_parameters": ["mlp.experts.down_proj"]}, "target_parameters"),
        ({"layer_replication": [[0, 2], [0, 2]]}, "layer_replication"),
        ({"use_qalora": True}, "use_qalora"),
        ({"an_option_of_tomorrow": 1}, "an_option_of_tomorrow"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights: pissa"),
        ({"init_lora_weights": "olora"}, "init_lora_weights: olora"),
        ({"r": 0}, "r is 0"),
        ({"r": "4"}, "r is '4'"),
        ({"lora_alpha": None}, "lora_alpha is None"),
        ({"target_modules": None}, "target_modules"),
        ({"target_modules": ["k_proj"]}, "none of the configuration's target_modules"),
        ({"rank_pattern": [4]}, "rank_pattern"),
        ({"r": 8}, "rank 4 in A, 4 in B; allowed: 8"),
        ({"rank_pattern": {"q_proj": 2}}, "allowed: 2"),
        ({"use_dora": True}, "magnitude vector"),
        ({"bias": "some"}, "bias is 'some'"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_merged_is_refused_by_name(
    model: Path, config: dict[str, Any], named: str
) -> None:
    """Also what a later peft may invent: an unknown option that is on."""
    with pytest.raises(RunnerError, match=named):
        planned(model, **config)


@pytest.mark.parametrize(
    ("tensors", "named"),
    [
        ({**shapes(), f"{Q}.lora_A.weight": (4, HIDDEN + 1)}, "shape"),
        ({f"{PREFIX}model.layers.9.self_attn.q_proj.lora_A.weight": (4, HIDDEN)}, "is no tensor of"),
        ({f"{Q}.lora_A.weight": (4, HIDDEN)}, "only one half"),
        ({**shapes(), f"{Q}.lora_A.weight": (3, HIDDEN), f"{Q}.lora_B.weight": (HIDDEN, 3)}, "rank 3 in A"),
        ({**shapes(), f"{Q}.lora_A.weight": (4, HIDDEN, 1, 1)}, "convolution"),
        ({**shapes(), "model.norm.weight": (HIDDEN,)}, "does not begin with"),
        ({**shapes(), f"{PREFIX}model.norm.weight": (HIDDEN + 1,)}, "shape"),
        ({**shapes(), f"{PREFIX}model.mlp.base_layer.lora_A.weight": (4, 4)}, "fused experts"),
        ({**shapes(), f"{Q}.lora_X": (4, 4)}, "no known kind"),
        ({**shapes(), f"{PREFIX}model.embed_tokens.weight": (300, HIDDEN)}, "differ"),
        ({**shapes(), f"{PREFIX}model.layers.0.self_attn.q_proj.weight": (HIDDEN, HIDDEN)}, "changed in two ways"),
        ({**shapes(), f"{PREFIX}model.embed_tokens.token_adapter.trainable_tokens_delta": (2, HIDDEN)}, "no token indices"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_refused_by_name(
    model: Path, tensors: dict[str, tuple[int, ...]], named: str
) -> None:
    """Shapes, names, halves, ranks, kinds."""
    with pytest.raises(RunnerError, match=named):
        planned(model, tensors)


@pytest.mark.parametrize("indices", [[1], [1, 1], [1, 10**9], [1, -1], "12"])
def test_token_indices_that_do_not_fit_are_refused(model: Path, indices: Any) -> None:
    """Too few, twice, outside the vocabulary, negative, no list."""
    rows = f"{PREFIX}model.embed_tokens.token_adapter.trainable_tokens_delta"
    with pytest.raises(Mismatch):
        planned(model, {**shapes(), rows: (2, HIDDEN)}, trainable_token_indices=indices)


def test_experts_as_separate_tensors_are_ordinary_layers(model: Path) -> None:
    """As mixtures store them: one matrix an expert; the one that the adapter lacks is moved as bytes."""
    experts = {f"model.layers.0.mlp.experts.{number}.up_proj.weight": (16, 8) for number in range(3)}
    write_tensors(model / "model.safetensors", experts)
    tensors: dict[str, tuple[int, ...]] = {}
    for number in (0, 2):
        module = f"{PREFIX}model.layers.0.mlp.experts.{number}.up_proj"
        tensors |= {f"{module}.lora_A.weight": (4, 8), f"{module}.lora_B.weight": (16, 4)}
    assert sorted(planned(model, tensors, target_modules=["up_proj"]).changes) == sorted(experts)[::2]


def test_names_without_the_models_prefix_are_found(model: Path) -> None:
    """A base saved without its head has no `model.` before its names."""
    whole = base.load(model).tensors
    write_tensors(
        model / "model.safetensors", {name.removeprefix("model."): tensor.shape for name, tensor in whole.items()}
    )
    assert all(name.startswith("layers.") for name in planned(model).changes)


def test_a_pickle_is_refused_for_base_and_adapter(model: Path) -> None:
    """Loading one runs what it says."""
    folder = write_adapter(model.parent / "adapter")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(BadSpec, match=r"adapter_model\.bin is a pickle"):
        adapter.load(folder)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(BadSpec, match="only as pickle"):
        base.load(model)


def test_a_quantised_base_is_refused_and_an_adapter_trained_on_one_is_not(model: Path) -> None:
    """QLoRA's adapter merges into the full-precision model: the adapter does not know how its base was loaded."""
    planned(model, base_model_name_or_path="somewhere/else")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "quantization_config": {"bits": 4}}))
    with pytest.raises(BadSpec, match="the base model is quantised"):
        base.load(model)


@pytest.mark.parametrize(
    "place", ["../secret.safetensors", "/etc/passwd", "sub/m.safetensors", ".hidden.safetensors", 5, "m.bin"]
)
def test_an_index_that_points_elsewhere_is_refused(model: Path, place: Any) -> None:
    """Only files of the folder itself count."""
    weight_map = shard(model)
    write_index(model, {**weight_map, "model.norm.weight": place})
    with pytest.raises(Mismatch, match="in this folder"):
        base.load(model)


def test_an_index_that_disagrees_with_the_shards_is_refused(model: Path) -> None:
    """A tensor in another shard, in none, or in two; a shard that is not there."""
    weight_map = shard(model)
    first, second = sorted(set(weight_map.values()))
    for wrong in ({**weight_map, "model.norm.weight": second}, {**weight_map, "model.more.weight": first}):
        write_index(model, wrong)
        with pytest.raises(Mismatch, match="disagree about"):
            base.load(model)
    write_index(model, weight_map)
    shutil.copyfile(model / first, model / "copy.safetensors")
    write_index(model, {**weight_map, "more": "copy.safetensors"})
    with pytest.raises(Mismatch, match="lies in"):
        base.load(model)
    write_index(model, weight_map)
    (model / second).unlink()
    with pytest.raises(Mismatch, match=f"{second}: missing"):
        base.load(model)


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, "{"])
def test_a_configuration_that_is_no_json_object_is_refused(model: Path, content: str) -> None:
    """Of the base and of the adapter."""
    (model / "config.json").write_text(content)
    with pytest.raises(Mismatch, match=r"config\.json"):
        base.load(model)


def test_rope_scaling_of_the_training_reaches_the_configuration() -> None:
    """As LLaMA Factory stretches positions for a longer cutoff; not when the text fits."""
    config = {"max_position_embeddings": 256, "rope_scaling": None, "vocab_size": 9}
    made = texts.configuration(config, {"vocab_size": 64}, {"rope_scaling": "llama3", "cutoff_len": 600})
    assert made["vocab_size"] == 64
    assert made["max_position_embeddings"] == 768
    assert made["rope_scaling"] == {
        "rope_type": "llama3", "factor": 3.0, "original_max_position_embeddings": 256, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    }  # fmt: skip
    assert texts.configuration(config, {}, {"rope_scaling": "linear", "cutoff_len": 256}) == config
    with pytest.raises(BadSpec, match="rope_parameters"):
        texts.configuration({**config, "rope_parameters": {}}, {}, {"rope_scaling": "linear", "cutoff_len": 600})
