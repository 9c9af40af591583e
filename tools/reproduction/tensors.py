"""Compares the weights of two folders, tensor by tensor: `python -m tools.reproduction.tensors THEN NOW` prints JSON.

Runs in the runner's environment, as it needs numpy; torch stays out. Memory: two tensors at a time.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runner.merge import headers
from runner.merge.headers import Tensor

_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class Weight(NamedTuple):
    """A tensor and its file."""

    file: Path
    tensor: Tensor

    @property
    def form(self) -> tuple[str, tuple[int, ...]]:
        """What two weights must share to be compared: type and shape."""
        return self.tensor.dtype, self.tensor.shape


def compare(then: Path, now: Path) -> dict[str, Any]:
    """Counts and the largest difference: {tensors, equal, missing, added, other_shape, largest, relative, where}.

    largest: of the absolute differences of any element; None where an element is not finite. relative: Frobenius norm of
    all differences over that of all weights. where: name of the tensor with the largest difference.
    """
    before, after = _weights(then), _weights(now)
    common = sorted(before.keys() & after.keys())
    shaped = [name for name in common if before[name].form == after[name].form]
    equal, largest, where, squares, norm = 0, 0.0, None, 0.0, 0.0
    for name in shaped:
        same, most, difference, size = _pair(before[name], after[name])
        equal += same
        squares, norm = squares + difference, norm + size
        if not same and (math.isnan(most) or most > largest):
            largest, where = most, name
    return {
        "tensors": len(before),
        "equal": equal,
        "missing": sorted(before.keys() - after.keys()),
        "added": sorted(after.keys() - before.keys()),
        "other_shape": [name for name in common if name not in shaped],
        "largest": largest if math.isfinite(largest) else None,
        "relative": math.sqrt(squares / norm) if norm and math.isfinite(squares) else 0.0 if not squares else None,
        "where": where,
    }


def _weights(folder: Path) -> dict[str, Weight]:
    found: dict[str, Weight] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= {name: Weight(file, tensor) for name, tensor in headers.read(file).tensors.items()}
    return found


def _pair(then: Weight, now: Weight) -> tuple[bool, float, float, float]:
    """Whether the bits agree, the largest difference, and the squares' sums of the differences and of the first."""
    import numpy as np

    before, after = _bytes(then), _bytes(now)
    if then.tensor.dtype not in _FLOATS:
        return before == after, 0.0 if before == after else math.nan, 0.0, 0.0
    old, new = (_values(data, then.tensor.dtype) for data in (before, after))
    size = float(np.square(old).sum())
    if before == after:
        return True, 0.0, 0.0, size
    difference = np.abs(new - old)
    return False, float(difference.max()), float(np.square(difference).sum()), size


def _bytes(weight: Weight) -> bytes:
    with weight.file.open("rb") as stream:
        stream.seek(weight.tensor.offset)
        return stream.read(weight.tensor.size)


def _values(data: bytes, dtype: str) -> Any:
    """As float64; a bfloat16 is the upper half of a float32."""
    import numpy as np

    raw = np.frombuffer(data, dtype=_FLOATS[dtype])
    if dtype == "BF16":
        raw = (raw.astype("<u4") << 16).view("<f4")
    return raw.astype(np.float64)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison of two folders."""
    then, now = _paths(sys.argv[1:] if argv is None else argv)
    json.dump(compare(then, now), sys.stdout)
    return 0


def _paths(arguments: Sequence[str]) -> Iterator[Path]:
    yield from map(Path, arguments)


if __name__ == "__main__":
    sys.exit(main())
