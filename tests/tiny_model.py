"""The tiny Llama of the tests: the texts of tests/fixtures/models/tiny-llama, and weights of zeros made when asked for."""

from __future__ import annotations

import atexit
import json
import shutil
import struct
import tempfile
from functools import cache
from math import prod
from pathlib import Path

TEXTS = Path(__file__).parent / "fixtures" / "models" / "tiny-llama"
LAYERS, VOCABULARY, WIDTH, KEYS, INNER = 2, 16, 8, 4, 16  # as its config.json says
_BYTES = 2  # bfloat16


@cache
def tiny_llama() -> Path:
    """The model's folder, made once a process and removed at its end."""
    root = Path(tempfile.mkdtemp(prefix="tiny-llama-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    place = root / TEXTS.name
    shutil.copytree(TEXTS, place)
    (place / "model.safetensors").write_bytes(_weights())
    return place


def _weights() -> bytes:
    """A safetensors file: length of the header, header, data (https://huggingface.co/docs/safetensors)."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in _shapes().items():
        start, end = end, end + _BYTES * prod(shape)
        header[f"model.{name}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(end)


def _shapes() -> dict[str, list[int]]:
    square, narrow = [WIDTH, WIDTH], [KEYS, WIDTH]
    layer = {
        f"self_attn.{name}_proj": shape for name, shape in zip("qkvo", (square, narrow, narrow, square), strict=True)
    }
    layer |= {f"mlp.{name}_proj": [INNER, WIDTH] for name in ("gate", "up")} | {"mlp.down_proj": [WIDTH, INNER]}
    layer |= {"input_layernorm": [WIDTH], "post_attention_layernorm": [WIDTH]}
    found = {"embed_tokens": [VOCABULARY, WIDTH], "norm": [WIDTH]}
    return found | {f"layers.{number}.{name}": shape for number in range(LAYERS) for name, shape in layer.items()}
