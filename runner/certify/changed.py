"""Which tensors of a model differ from the base's, by their bytes alone: for models that were copied, not merged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.certify.certificate import Change

PIECE = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor: type and shape of its header, and where its bytes lie."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


def changes(base: Path, result: Path) -> tuple[dict[str, Change], int]:
    """Every tensor of the result that the base has otherwise or not at all, and how many are the base's."""
    before = {name: stored for file in sorted(base.glob("*.safetensors")) for name, stored in _tensors(file)}
    found, same = {}, 0
    for file in sorted(result.glob("*.safetensors")):
        for name, stored in _tensors(file):
            if name in before and _equal(before[name], stored):
                same += 1
            else:
                elements = math.prod(stored.shape)
                found[name] = Change(kind="trained", elements=elements, changed=elements, norm=None)
    return found, same


def _tensors(file: Path) -> Iterator[tuple[str, Stored]]:
    """By the file's header (https://github.com/huggingface/safetensors#format)."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            yield name, Stored(file, entry["dtype"], tuple(entry["shape"]), 8 + length + start, stop - start)


def _equal(one: Stored, other: Stored) -> bool:
    if (one.dtype, one.shape, one.size) != (other.dtype, other.shape, other.size):
        return False
    with one.file.open("rb") as first, other.file.open("rb") as second:
        first.seek(one.start)
        second.seek(other.start)
        left = one.size
        while left:
            count = min(left, PIECE)
            if first.read(count) != second.read(count):
                return False
            left -= count
    return True
