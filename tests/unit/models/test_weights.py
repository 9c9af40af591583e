"""safetensors headers and what is counted from them, for the families of models that the platform trains."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import tiny_llama
from tools.errors import UsageError
from tools.models import architecture, folder, weights
from tools.models.safetensors import Tensor, tensors

TINY = tiny_llama()


def layers(count: int, shapes: dict[str, tuple[int, ...]], prefix: str = "model.layers") -> dict[str, Tensor]:
    """Tensors of `count` equal layers."""
    return {
        f"{prefix}.{n}.{name}.weight": Tensor("BF16", shape) for n in range(count) for name, shape in shapes.items()
    }


def write(path: Path, header: Any, data: int) -> Path:
    """A safetensors file with this header and that many bytes of data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))
    return path


def test_a_llama_is_counted() -> None:
    """Parameters, linear layers and type of the fixture are those that its config gives by hand."""
    found = weights.read(TINY, folder.files_of(TINY))
    assert weights.parameters(found, tied=True) == 16 * 8 + 8 + 2 * (2 * 64 + 2 * 32 + 3 * 128 + 16)
    assert weights.linear_modules(found, tied=True) == {
        "q_proj": (8, 8, 2),
        "k_proj": (8, 4, 2),
        "v_proj": (8, 4, 2),
        "o_proj": (8, 8, 2),
        "gate_proj": (8, 16, 2),
        "up_proj": (8, 16, 2),
        "down_proj": (16, 8, 2),
    }
    assert weights.dtype(found) == "bfloat16"


def test_fused_layers_keep_their_names() -> None:
    """Phi-3 has one layer for queries, keys and values; it is listed as it is."""
    found = layers(3, {"self_attn.qkv_proj": (24, 8), "mlp.gate_up_proj": (32, 8), "input_layernorm": (8,)})
    assert weights.linear_modules(found, tied=True) == {"qkv_proj": (8, 24, 3), "gate_up_proj": (8, 32, 3)}


def test_gpt_neox_is_understood() -> None:
    """Other words for layers and head: gpt_neox.layers, embed_out."""
    found = layers(2, {"attention.query_key_value": (24, 8), "mlp.dense_h_to_4h": (32, 8)}, "gpt_neox.layers")
    found |= {"gpt_neox.embed_in.weight": Tensor("F16", (16, 8)), "embed_out.weight": Tensor("F16", (16, 8))}
    expected = {"query_key_value": (8, 24, 2), "dense_h_to_4h": (8, 32, 2), "lm_head": (8, 16, 1)}
    assert weights.linear_modules(found, tied=False) == expected


def test_experts_are_counted_one_by_one() -> None:
    """Qwen-MoE: each expert counts; the shared expert, of another shape, is listed under a longer name."""
    shapes: dict[str, tuple[int, ...]] = {f"mlp.experts.{n}.gate_proj": (4, 8) for n in range(6)}
    found = layers(2, shapes | {"mlp.shared_expert.gate_proj": (16, 8)})
    expected = {"gate_proj": (8, 4, 12), "shared_expert.gate_proj": (8, 16, 2)}
    assert weights.linear_modules(found, tied=True) == expected


def test_encoders_of_pictures_are_no_lora_targets() -> None:
    """Gemma 3 with its vision tower: only the language model's layers are listed, all weights are counted."""
    found = layers(2, {"self_attn.q_proj": (8, 8)}, "language_model.model.layers")
    found |= layers(1, {"self_attn.q_proj": (4, 4)}, "vision_tower.vision_model.encoder.layers")
    assert weights.linear_modules(found, tied=True) == {"q_proj": (8, 8, 2)}
    assert weights.parameters(found, tied=True) == 2 * 64 + 16


def test_a_tied_head_that_is_stored_twice_counts_once() -> None:
    """Some folders hold lm_head although config.json ties it to the embedding."""
    found = {"model.embed_tokens.weight": Tensor("F32", (16, 8)), "lm_head.weight": Tensor("F32", (16, 8))}
    assert weights.parameters(found, tied=True) == 128
    assert weights.parameters(found, tied=False) == 256


def test_quantised_weights_are_refused() -> None:
    """Weights of 8 bits cannot be trained from."""
    with pytest.raises(UsageError, match="of the type I8; allowed: float32, float16, bfloat16"):
        weights.dtype({"a": Tensor("I8", (8, 8))})


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, 4),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, 4),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}, 16),
        ({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, 8),
        ({"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}, 8),
        ({"a": {"shape": [2]}}, 8),
        ({"a": 5}, 8),
        ([1, 2], 8),
        (b"{", 8),
        (b"[" * 5000, 8),
    ],
    ids=["cut off", "too short", "gap", "negative", "type", "no type", "number", "list", "no JSON", "nested"],
)
def test_a_damaged_file_is_named(header: Any, data: int, tmp_path: Path) -> None:
    """Whatever is wrong with the header, the message names the file and says what to do."""
    path = write(tmp_path / "model.safetensors", header, data)
    with pytest.raises(UsageError, match=r"model\.safetensors is no valid safetensors file: .*download it again"):
        tensors(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 4, struct.pack("<Q", 1 << 60) + b"{}"])
def test_a_file_that_is_none_is_refused_without_reading_it(content: bytes, tmp_path: Path) -> None:
    """A header longer than the file is not even allocated."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="its header would be"):
        tensors(path)


def sharded(tmp_path: Path) -> Path:
    """The fixture as two shards with an index."""
    place = Path(shutil.copytree(TINY, tmp_path / "sharded"))
    (place / "model.safetensors").unlink()
    for number, name in enumerate("ab", start=1):
        entry = {name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
        write(place / f"model-0000{number}-of-00002.safetensors", entry, 8)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    return place


def test_shards_are_read_together(tmp_path: Path) -> None:
    """The tensors of all shards of the index are one model."""
    place = sharded(tmp_path)
    assert sorted(weights.read(place, folder.files_of(place))) == ["a", "b"]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    """A shard that the index names must be there."""
    place = sharded(tmp_path)
    (place / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UsageError, match=r"names model-00002-of-00002\.safetensors, which is not in the folder"):
        weights.read(place, folder.files_of(place))


def test_a_shard_outside_the_folder_is_refused(tmp_path: Path) -> None:
    """An index cannot make the tool read files elsewhere."""
    place = sharded(tmp_path)
    shutil.move(place / "model-00002-of-00002.safetensors", tmp_path / "outside.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "../outside.safetensors"}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match="which is not in the folder"):
        weights.read(place, folder.files_of(place))


def test_an_index_that_disagrees_is_refused(tmp_path: Path) -> None:
    """Tensors that the index does not name are a sign of mixed downloads."""
    place = sharded(tmp_path)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "c": "model-00002-of-00002.safetensors"}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match="disagree about b"):
        weights.read(place, folder.files_of(place))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"num_key_value_heads": None}, {"num_key_value_heads": 2}),
        ({"head_dim": 16}, {"head_dim": 16}),
        ({"num_local_experts": 8}, {"num_experts": 8}),
        ({"tie_word_embeddings": None}, {"tie_word_embeddings": True}),
        ({"hidden_size": None, "n_embd": 8}, {"hidden_size": 8}),
    ],
)
def test_config_keys_of_all_families_are_known(
    change: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    """Absent and differently named keys give the numbers that transformers would use."""
    place = Path(shutil.copytree(TINY, tmp_path / "model"))
    config = json.loads((place / "config.json").read_text()) | change
    (place / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    found = architecture.read(place, weights.read(place, folder.files_of(place)))
    assert expected.items() <= found.model_dump().items()


def test_the_text_part_of_a_config_counts(tmp_path: Path) -> None:
    """Models for several kinds of input keep the language model's numbers in text_config."""
    place = Path(shutil.copytree(TINY, tmp_path / "model"))
    config = json.loads((place / "config.json").read_text())
    whole = {"model_type": "gemma3", "text_config": config | {"model_type": "gemma3_text"}, "vision_config": {}}
    (place / "config.json").write_text(json.dumps(whole))
    found = architecture.read(place, weights.read(place, folder.files_of(place)))
    assert (found.model_type, found.hidden_size) == ("gemma3_text", 8)
