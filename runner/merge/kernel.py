"""W + scale * (B A) on stored bfloat16 in one pass: what numpy does in a dozen passes, compiled for the machine at the first call.

Only the product may be contracted to fused multiply-adds, and only the counter be summed in another order. Each element's sum
runs over the rank in its order, so the result depends neither on the number of threads nor on the width of the processor's
vectors. The compiled code is kept in numba's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from runner.merge.precision import Array

_COLUMNS = 512  # of one block: with its scratch 4 KiB, and 32 KiB of A at rank 16, which stay in a core's first caches
_INFINITY, _ROUNDS_TO_INFINITY = np.uint32(0x7F800000), np.uint32(0x7F7F8000)  # bits of a float32
_QUIET = 0x40  # of a bfloat16's NaN
_F = TypeVar("_F", bound=Callable[..., Any])


def _compiled(function: _F, **options: object) -> _F:
    """The function in machine code, without Python's global lock."""
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder can be written to: compile for this process alone
        return numba.njit(nogil=True, **options)(function)  # type: ignore[no-any-return]


def _product(left: Array, right: Array, start: int, values: Array) -> None:
    """One row of left @ right[:, start:] into `values`; four steps of the rank a time, in their order."""
    rank, width = left.shape[0], values.shape[0]
    values[:] = 0
    step = 0
    while step + 4 <= rank:
        one, two, three, four = left[step], left[step + 1], left[step + 2], left[step + 3]
        first, second = right[step, start : start + width], right[step + 1, start : start + width]
        third, fourth = right[step + 2, start : start + width], right[step + 3, start : start + width]
        for j in range(width):
            values[j] = (((values[j] + one * first[j]) + two * second[j]) + three * third[j]) + four * fourth[j]
        step += 4
    while step < rank:
        one, first = left[step], right[step, start : start + width]
        for j in range(width):
            values[j] += one * first[j]
        step += 1


def _store(raw: Array, values: Array, scale: np.float32, spare: Array) -> tuple[int, int]:
    """Add scale * values to `raw`, to nearest, ties to even: elements changed, and those that are finite no longer.

    The counter is a float32, exact up to 2^24: numba would widen an integer to 64 bits, four to a vector.
    """
    bits, wide = values.view(np.uint32), spare.view(np.float32)
    for j in range(raw.size):
        spare[j] = np.uint32(raw[j]) << np.uint32(16)
    for j in range(raw.size):
        values[j] = wide[j] + values[j] * scale
    changed, largest = np.float32(0), np.uint32(0)
    for j in range(raw.size):
        full = bits[j]
        even = np.uint32(np.uint32(full >> np.uint32(16)) & np.uint32(1))
        narrow = np.uint32(np.uint32(full + np.uint32(np.uint32(0x7FFF) + even)) >> np.uint32(16))
        largest = max(largest, np.uint32(full & np.uint32(0x7FFFFFFF)))
        changed += np.float32(narrow != np.uint32(raw[j]))
        raw[j] = np.uint16(narrow)
    if largest < _ROUNDS_TO_INFINITY:
        return int(changed), 0
    return _mend(raw, bits, spare)


def _mend(raw: Array, bits: Array, before: Array) -> tuple[int, int]:
    """The same for a block with NaN or infinity: a NaN, whose payload may have overflowed into the sign, is rounded by cutting."""
    changed, lost = 0, 0
    for j in range(raw.size):
        magnitude, old = bits[j] & np.uint32(0x7FFFFFFF), before[j] >> np.uint32(16)
        if magnitude > _INFINITY:
            raw[j] = np.uint16((bits[j] >> np.uint32(16)) | np.uint32(_QUIET))
        changed += int(raw[j] != old)
        lost += int(magnitude >= _ROUNDS_TO_INFINITY and (before[j] & _INFINITY) != _INFINITY)
    return changed, lost


def _add(rows: Array, left: Array, right: Array, scale: np.float32) -> tuple[int, int]:
    height, width = rows.shape
    values, spare = np.empty(_COLUMNS, np.float32), np.empty(_COLUMNS, np.uint32)
    changed, lost = 0, 0
    for start in range(0, width, _COLUMNS):
        count = min(_COLUMNS, width - start)
        for i in range(height):
            _product(left[i], right, start, values[:count])
            found = _store(rows[i, start : start + count], values[:count], scale, spare[:count])
            changed += found[0]
            lost += found[1]
    return changed, lost


_product = _compiled(_product, fastmath={"contract"})
_mend = _compiled(_mend)
_store = _compiled(_store, fastmath={"reassoc"})
_add = _compiled(_add)


def add_product(rows: Array, left: Array, right: Array, scale: np.float32) -> tuple[int, int]:
    """Change `rows` in place to rows + scale * (left @ right).

    rows: uint16, [out, in], the bits of bfloat16. left: float32, [out, r]. right: float32, [r, in]; both contiguous.

    Returns: how many elements changed, and how many were finite and are not any more.
    """
    changed, lost = _add(rows, left, right, scale)
    return int(changed), int(lost)
