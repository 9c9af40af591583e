"""Which tensors a safetensors file holds, from its header alone.

Format: 8 bytes little-endian header length, the header as JSON (name -> dtype, shape, data_offsets), then the data, without
gaps. Source: huggingface/safetensors, README.md, "Format"; the header's limit is that library's.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any, NamedTuple

from tools.errors import UsageError

_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 100_000_000
_BITS = {
    "F64": 64,
    "I64": 64,
    "U64": 64,
    "F32": 32,
    "I32": 32,
    "U32": 32,
    "F16": 16,
    "BF16": 16,
    "I16": 16,
    "U16": 16,
    "I8": 8,
    "U8": 8,
    "BOOL": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F4": 4,
}


class Tensor(NamedTuple):
    """A tensor's type, as safetensors names it, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def tensors(path: Path) -> dict[str, Tensor]:
    """Name -> tensor.

    Raises:
        UsageError: it is no safetensors file, or one that is cut off or damaged.
    """
    try:
        header, size = _header(path)
        found = {name: _tensor(entry) for name, entry in header.items() if name != "__metadata__"}
        end = _end_of_data(header, found)
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
        raise _damaged(path, str(error)) from error
    if end != size:
        raise _damaged(path, f"its tensors take {end} bytes, the file has {size} for them")
    return found


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header and the size of the data after it, in bytes."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(_LENGTH.size)
        length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else 0
        if not 1 < length <= min(_MAX_HEADER, size - _LENGTH.size):
            raise ValueError(f"its header would be {length} bytes of {size}")
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise TypeError("its header is no object")
    return header, size - _LENGTH.size - length


def _tensor(entry: dict[str, Any]) -> Tensor:
    dtype, shape = entry["dtype"], entry["shape"]
    if dtype not in _BITS:
        raise ValueError(f"it has tensors of the unknown type {dtype!r}")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"it has a tensor of the shape {shape}")
    return Tensor(dtype, tuple(shape))


def _end_of_data(header: dict[str, Any], found: dict[str, Tensor]) -> int:
    """Where the last tensor ends; each must be as long as its shape says and begin where the one before it ends."""
    end = 0
    for first, last, name in sorted((*header[name]["data_offsets"], name) for name in found):
        length = found[name].elements * _BITS[found[name].dtype] // 8
        if first != end or last != first + length:
            raise ValueError(f"its tensor {name} lies at {first} to {last}, where {end} to {end + length} is due")
        end = last
    return end


def _damaged(path: Path, reason: str) -> UsageError:
    return UsageError(f"{path} is no valid safetensors file: {reason}; download it again and compare its hash")
