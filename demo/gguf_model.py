"""Weights and configuration of a GGUF Llama model, written as a transformers folder.

The naming and the row order of the query and key projections are those of llama.cpp's convert_hf_to_gguf.py (class
LlamaModel, `permute`), undone. A test compares every tensor with what transformers itself reads from the same file.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import numpy.typing as npt

# GGUF name -> transformers name; `blk.N.` becomes `model.layers.N.`
_TOP = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class Source(NamedTuple):
    """An open GGUF file: its metadata as plain values and its tensors, still quantised."""

    metadata: dict[str, Any]
    tensors: list[Any]


def read(path: Path) -> Source:
    """Open a GGUF file; the tensors stay memory-mapped."""
    reader = gguf.GGUFReader(path)
    return Source({key: field.contents() for key, field in reader.fields.items()}, list(reader.tensors))


def write(source: Source, folder: Path) -> None:
    """Write model.safetensors (bf16), config.json and generation_config.json into `folder`."""
    tensors = {transformers_name(tensor.name): to_bf16(weights(source, tensor)) for tensor in source.tensors}
    save_safetensors(tensors, folder / "model.safetensors")
    save_json(config(source.metadata), folder / "config.json")
    special = {key: source.metadata[f"tokenizer.ggml.{key}"] for key in ("bos_token_id", "eos_token_id")}
    pad = source.metadata["tokenizer.ggml.padding_token_id"]
    save_json({"_from_model_config": True, **special, "pad_token_id": pad}, folder / "generation_config.json")


def transformers_name(name: str) -> str:
    """`blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`; KeyError for a tensor that a Llama has not."""
    if name in _TOP:
        return _TOP[name]
    _, layer, part, suffix = name.split(".")
    return f"model.layers.{layer}.{_LAYER[part]}.{suffix}"


def weights(source: Source, tensor: Any) -> npt.NDArray[np.float32]:
    """A tensor's values, shape (out, in) or (out,), rows of query and key projections in transformers' order."""
    values: npt.NDArray[np.float32] = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
    heads = {"attn_q": "llama.attention.head_count", "attn_k": "llama.attention.head_count_kv"}
    key = heads.get(tensor.name.split(".")[-2])
    return values if key is None else unpermute(values, source.metadata[key])


def unpermute(values: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Undo llama.cpp's interleaving of the two rotary halves inside each head; shape (heads * head size, in)."""
    rows, columns = values.shape
    return values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def to_bf16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """bfloat16 bits of finite float32 values, rounded to nearest, ties to even (IEEE 754), as torch rounds."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype("<u2")


def save_safetensors(tensors: dict[str, npt.NDArray[np.uint16]], path: Path) -> None:
    """Write bf16 tensors in name order (format: github.com/huggingface/safetensors, README, "Format")."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, values in sorted(tensors.items()):
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format wants the data aligned to 8 bytes
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for _, values in sorted(tensors.items()):
            stream.write(values.tobytes())


def config(metadata: dict[str, Any]) -> dict[str, Any]:
    """config.json of a transformers LlamaForCausalLM whose input and output embeddings are one matrix."""
    heads, hidden = metadata["llama.attention.head_count"], metadata["llama.embedding_length"]
    # GGUF keeps float32: 1e-05 reads as 9.999999747e-06; the shortest text of the float32 is the number meant.
    epsilon = float(str(np.float32(metadata["llama.attention.layer_norm_rms_epsilon"])))
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "dtype": "bfloat16",
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "max_position_embeddings": metadata["llama.context_length"],
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": metadata["llama.block_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
        "rms_norm_eps": epsilon,
        "rope_parameters": {"rope_theta": metadata["llama.rope.freq_base"], "rope_type": "default"},
        "tie_word_embeddings": True,
        "use_cache": True,
        "vocab_size": metadata["llama.vocab_size"],
    }


def save_json(value: dict[str, Any], path: Path) -> None:
    """Write indented UTF-8 JSON with a final newline."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
