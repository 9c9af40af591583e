"""How many bytes a run needs on disk, and its weights in memory, from the base model's own tensor shapes.

Shapes come from the JSON header of each safetensors file (https://github.com/huggingface/safetensors#format): 8 bytes with the
header's length, little endian, then name -> {dtype, shape, data_offsets}.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.storage import Paths
    from tools.formats.lock import Lock

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
# A LoRA pair trains in 32 bits: 4 bytes each for the weight and AdamW's two moments.
BYTES_PER_TRAINED = 12
DEFAULT_RANK = 8  # LLaMA Factory's
SLACK = 64 * 2**20  # logs, spool, trainer state, random states
QUANTISED = {4: 0.25, 8: 0.5}  # share of 16-bit weights


def weight_bytes(lock: Lock) -> int:
    """Bytes of the base model's weights in GPU memory: the least that any method needs."""
    stored = _stored_bytes(lock)
    share = QUANTISED.get(lock.run.settings.get("quantization_bit") or 0, 1.0)
    return int(stored * share)


def disk_bytes(paths: Paths) -> int:
    """Bytes that checkpoints and result may take at once.

    One checkpoint more than `save_total_limit` exists while a new one is written; the result is written twice, by LLaMA
    Factory beside the checkpoints and as the finished folder.
    """
    lock = paths.lock
    others = sum(file.size for name, file in lock.run.model.files.items() if not name.endswith(WEIGHTS))
    trained = _trained_bytes(paths)
    result = trained // 3 + others
    kept = lock.run.settings.get("save_total_limit")
    checkpoints = (kept if isinstance(kept, int) else 1) + 1
    return checkpoints * (trained + others) + 2 * result + SLACK


def tensors(file: Path) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Name, shape and size in bytes of each tensor in a safetensors file.

    Raises:
        ValueError: it is none, or it is cut short.
    """
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        size = file.stat().st_size
        if not 0 < length <= size - 8:
            raise ValueError(f"{file}: no safetensors header in {size} bytes")
        header: dict[str, dict[str, Any]] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    if size != 8 + length + end:
        raise ValueError(f"{file}: {size} bytes; allowed: {8 + length + end} bytes, as its header says")
    for name, tensor in header.items():
        begin, stop = tensor["data_offsets"]
        yield name, tuple(tensor["shape"]), stop - begin


def _stored_bytes(lock: Lock) -> int:
    return sum(file.size for name, file in lock.run.model.files.items() if name.endswith(WEIGHTS))


def _trained_bytes(paths: Paths) -> int:
    """Trained weights with AdamW's moments, bytes: for LoRA rank * (in + out) of each linear layer (arXiv:2106.09685)."""
    settings = paths.lock.run.settings
    shards = [paths.base_model / name for name in paths.lock.run.model.files if name.endswith(".safetensors")]
    shapes = [(name, shape) for shard in shards for name, shape, _ in tensors(shard)]
    if settings.get("finetuning_type") == "full" or not shapes:
        parameters = sum(math.prod(shape) for _, shape in shapes)
        return BYTES_PER_TRAINED * parameters or 3 * _stored_bytes(paths.lock)
    rank = int(settings.get("lora_rank", DEFAULT_RANK))
    layers = [shape for name, shape in shapes if len(shape) == 2 and "embed" not in name and "lm_head" not in name]  # noqa: PLR2004
    return BYTES_PER_TRAINED * sum(rank * sum(shape) for shape in layers)
