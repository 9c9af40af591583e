"""A synthetic Llama in bfloat16 and a LoRA adapter of rank 16 on all its linear layers, as transformers and peft would save them.

merge_models.py FOLDER HIDDEN INNER LAYERS KEYS VOCABULARY SHARDS

Writes FOLDER/base and FOLDER/adapter. Weights are normal with a spread of 0.02; a block of them is repeated from other starts,
because making billions of random numbers would take longer than what is measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests.runs import write_model

RANK = 16
HEAD = 64
_BLOCK = 2**24


def main() -> None:
    """Read the arguments and write both folders."""
    folder = Path(sys.argv[1])
    hidden, inner, layers, keys, vocabulary, shards = map(int, sys.argv[2:])
    write_model(folder / "base")  # tokenizer and texts
    (folder / "base" / "model.safetensors").unlink()
    _config(folder / "base" / "config.json", hidden, inner, layers, keys, vocabulary)
    shapes = _shapes(hidden, inner, layers, keys, vocabulary)
    generator = np.random.default_rng(0)
    values = (generator.standard_normal(_BLOCK, np.float32) * np.float32(0.02)).view(np.uint32)
    _write_base(folder / "base", shapes, (values >> np.uint32(16)).astype(np.uint16), shards)
    _write_adapter(folder / "adapter", shapes, generator)


def _config(file: Path, hidden: int, inner: int, layers: int, keys: int, vocabulary: int) -> None:
    sizes = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "vocab_size": vocabulary}
    heads = {"num_attention_heads": hidden // HEAD, "num_key_value_heads": keys // HEAD, "head_dim": HEAD}
    fixed = {"tie_word_embeddings": False, "torch_dtype": "bfloat16"}
    file.write_text(json.dumps({**json.loads(file.read_text()), **sizes, **heads, **fixed}, indent=1))


def _shapes(hidden: int, inner: int, layers: int, keys: int, vocabulary: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        found |= {f"{prefix}{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
        found |= {f"{prefix}self_attn.{name}_proj.weight": (hidden, hidden) for name in "qo"}
        found |= {f"{prefix}self_attn.{name}_proj.weight": (keys, hidden) for name in "kv"}
        found |= {f"{prefix}mlp.{name}_proj.weight": (inner, hidden) for name in ("gate", "up")}
        found[f"{prefix}mlp.down_proj.weight"] = (hidden, inner)
    return found | {"model.norm.weight": (hidden,), "lm_head.weight": (vocabulary, hidden)}


def _write_base(folder: Path, shapes: dict[str, tuple[int, ...]], block: np.ndarray, shards: int) -> None:
    names = list(shapes)
    step = -(-len(names) // shards)
    weight_map: dict[str, str] = {}
    for number in range(shards):
        mine = names[number * step : (number + 1) * step]
        file = "model.safetensors" if shards == 1 else f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        weight_map |= dict.fromkeys(mine, file)
        _write(folder / file, "BF16", 2, {name: shapes[name] for name in mine}, block)
    if shards > 1:
        index = {
            "metadata": {"total_size": sum(2 * _size(shape) for shape in shapes.values())},
            "weight_map": weight_map,
        }
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _write_adapter(folder: Path, shapes: dict[str, tuple[int, ...]], generator: np.random.Generator) -> None:
    folder.mkdir()
    pairs: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        if name.endswith("_proj.weight"):
            module = f"base_model.model.{name.removesuffix('.weight')}"
            pairs |= {f"{module}.lora_A.weight": (RANK, shape[1]), f"{module}.lora_B.weight": (shape[0], RANK)}
    block = generator.standard_normal(2**20, np.float32) * np.float32(0.01)
    _write(folder / "adapter_model.safetensors", "F32", 4, pairs, block)
    targets = sorted({name.split(".")[-2] for name in shapes if name.endswith("_proj.weight")})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": 32,
        "target_modules": targets,
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2))


def _write(file: Path, dtype: str, width: int, shapes: dict[str, tuple[int, ...]], block: np.ndarray) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + width * _size(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for number, shape in enumerate(shapes.values()):
            for piece in _pieces(_size(shape), number, block):
                stream.write(piece.data)


def _pieces(count: int, number: int, block: np.ndarray) -> Iterable[np.ndarray]:
    start = number * 7919 % len(block)
    while count:
        piece = block[start : start + count]
        yield piece
        count, start = count - len(piece), 0


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


if __name__ == "__main__":
    main()
