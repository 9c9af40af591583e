"""The header of a safetensors file, read as a stranger's: every number is checked before anything relies on it.

Format (https://github.com/huggingface/safetensors#format): 8 bytes with the header's length, little endian, then JSON
name -> {dtype, shape, data_offsets}, then the data. Like the reference reader this one refuses holes, overlaps and bytes left over.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.exits import Mismatch

LIMIT = 32 * 2**20  # bytes of a header: parsing takes some ten times as much memory; a thousand tensors need 0.1 MB
BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4,
    "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
_METADATA = "__metadata__"
_FIELDS = {"dtype", "shape", "data_offsets"}
_REMEDY = "fetch the file again and compare its sha256 with the catalog's"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: type, shape, and where its bytes lie in its file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """A whole header: its bytes as they stand in the file (length field included), and what they say."""

    raw: bytes
    metadata: dict[str, str] | None
    tensors: dict[str, Tensor]


def open_regular(file: Path) -> int:
    """A descriptor of a regular file that is no symbolic link.

    Raises:
        Mismatch: it is missing, a link or no file.
    """
    try:
        if not file.is_symlink() and file.is_file():
            return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise Mismatch(f"{file}: missing", _REMEDY) from error
    if file.is_symlink():
        raise Mismatch(f"{file}: is a symbolic link; allowed: a regular file", "copy the folder with `cp -rL`")
    raise Mismatch(f"{file}: missing, or no regular file", _REMEDY)


def read(file: Path) -> Header:
    """The header of `file`, its tensors in the order of their data.

    Raises:
        Mismatch: it is no whole safetensors file; the message says why.
    """
    descriptor = open_regular(file)
    try:
        size = os.fstat(descriptor).st_size
        length = int.from_bytes(os.pread(descriptor, 8, 0), "little")
        if not 2 <= length <= min(LIMIT, size - 8):  # noqa: PLR2004 - "{}"
            raise _bad(file, f"header of {length} bytes in a file of {size}", f"2 to {LIMIT:,} bytes, inside the file")
        raw = os.pread(descriptor, 8 + length, 0)
    finally:
        os.close(descriptor)
    content = _json(file, raw[8:])
    metadata = content.pop(_METADATA, None)
    if metadata is not None and not _is_text(metadata):
        raise _bad(file, f"{_METADATA} is no mapping of texts", "text to text")
    tensors = {name: _tensor(file, name, entry, 8 + length) for name, entry in content.items()}
    ordered = dict(sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].size)))
    _check_layout(file, ordered, 8 + length, size)
    return Header(raw, metadata, ordered)


def _json(file: Path, text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise _bad(file, "the header is nested too deeply", "three levels") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are of its kind
        raise _bad(file, f"the header is no valid JSON ({error})", "UTF-8 JSON with unique names") from error
    if not isinstance(content, dict):
        raise _bad(file, f"the header is {type(content).__name__}", "a JSON object")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} twice")
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _tensor(file: Path, name: str, entry: Any, start: int) -> Tensor:
    if not isinstance(entry, dict) or set(entry) != _FIELDS:
        raise _bad(file, f"{name}: entry {str(entry)[:80]}", "dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise _bad(file, f"{name}: dtype {str(dtype)[:40]}", ", ".join(BYTES))
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:  # noqa: PLR2004
        raise _bad(
            file, f"{name}: shape {str(shape)[:60]}, data_offsets {str(offsets)[:60]}", "whole numbers from 0 on"
        )
    begin, end = offsets
    wanted = BYTES[dtype] * math.prod(shape)
    if end - begin != wanted:
        raise _bad(file, f"{name}: {end - begin} bytes for {dtype} {shape}", f"{wanted} bytes")
    return Tensor(dtype, tuple(shape), start + begin, wanted)


def _counts(value: Any) -> bool:
    """JSON's true is Python's 1, so the type must be exact."""
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_layout(file: Path, tensors: dict[str, Tensor], start: int, size: int) -> None:
    end = start
    for name, tensor in tensors.items():
        if tensor.offset != end:
            what = "overlaps the tensor before it" if tensor.offset < end else "leaves a hole before it"
            raise _bad(file, f"{name} at byte {tensor.offset} {what}", f"byte {end}")
        end += tensor.size
    if size != end:
        what = "truncated" if size < end else "longer than its header says"
        raise _bad(file, f"{size} bytes: {what}", f"{end} bytes")


def _bad(file: Path, found: str, allowed: str) -> Mismatch:
    return Mismatch(f"{file}: {found}; allowed: {allowed}", _REMEDY)
