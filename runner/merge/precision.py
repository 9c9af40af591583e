"""Stored numbers to 32 bits and back with one rounding, in blocks that stay in a core's cache.

numpy has no bfloat16: it is the upper half of a float32, so widening shifts, and narrowing adds what rounds to nearest, ties to even.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
STORED = {"BF16": np.dtype("<u2"), "F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
BITS = {2: np.dtype("<u2"), 4: np.dtype("<u4")}
# 64 x 1024 elements with all scratch are 1 MB, which a core's caches hold. Measured: twice as fast as whole matrices; smaller ones
# spend more on Python's calls.
TILE_ROWS, TILE_COLUMNS = 64, 1024
TILE = TILE_ROWS * TILE_COLUMNS
# Below these no rounding can reach infinity; above, and for NaN, a slower and exact look follows.
SAFE = {"BF16": 3.38e38, "F16": 65504.0, "F32": 3.4e38}


class Overflow(ArithmeticError):  # noqa: N818 - a verdict on the numbers
    """A finite number became infinite or NaN."""


class Scratch:
    """The reused blocks of one thread."""

    def __init__(self) -> None:
        self._wide = np.empty(TILE, np.float32)
        self._delta = np.empty(TILE, np.float32)
        self._spare = np.empty(TILE, np.uint32)
        self._narrow = {dtype: np.empty(TILE, stored) for dtype, stored in STORED.items()}
        self._flags = np.empty(TILE, np.bool_)

    def widen(self, dtype: str, raw: Array) -> Array:
        """`raw`, of any shape up to a tile, as float32 in a block that the next call overwrites."""
        wide = self._wide[: raw.size].reshape(raw.shape)
        if dtype == "BF16":
            bits = wide.view(np.uint32)
            np.copyto(bits, raw)
            np.left_shift(bits, np.uint32(16), out=bits)
        else:
            np.copyto(wide, raw)
        return wide

    def delta(self, shape: tuple[int, ...]) -> Array:
        """A block for float32 results."""
        return self._delta[: int(np.prod(shape))].reshape(shape)

    def store(self, dtype: str, values: Array, raw: Array, *, compare: bool = True) -> int:
        """Round `values` into `raw` and count the elements whose bits changed (all of them without `compare`).

        Raises:
            Overflow: a number that was finite is not any more.
        """
        narrow = self._narrow[dtype][: raw.size].reshape(raw.shape)
        self._round(dtype, values, narrow)
        if not (values.min() > -SAFE[dtype] and values.max() < SAFE[dtype]):  # NaN compares false
            _check(dtype, raw if compare else None, narrow)
        flags = self._flags[: raw.size].reshape(raw.shape)
        bits = BITS[narrow.itemsize]
        changed = (
            int(np.count_nonzero(np.not_equal(narrow.view(bits), raw.view(bits), out=flags))) if compare else raw.size
        )
        np.copyto(raw, narrow)
        return changed

    def _round(self, dtype: str, values: Array, narrow: Array) -> None:
        if dtype != "BF16":
            with np.errstate(over="ignore", invalid="ignore"):
                np.copyto(narrow, values, casting="same_kind")
            return
        bits, spare = values.view(np.uint32), self._spare[: values.size].reshape(values.shape)
        np.right_shift(bits, np.uint32(16), out=spare)
        np.bitwise_and(spare, np.uint32(1), out=spare)
        np.add(spare, np.uint32(0x7FFF), out=spare)
        np.add(spare, bits, out=spare)
        np.right_shift(spare, np.uint32(16), out=spare)
        np.copyto(narrow, spare, casting="unsafe")
        if np.isnan(values.max()):  # a NaN's payload may have overflowed into the sign
            wrong = np.isnan(values)
            narrow[wrong] = (bits[wrong] >> np.uint32(16)).astype(np.uint16) | np.uint16(0x40)


def to_float32(dtype: str, raw: Array) -> Array:
    """A new float32 array of a stored one, of any size."""
    if dtype == "BF16":
        return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return raw.astype(np.float32)


def _check(dtype: str, raw: Array | None, narrow: Array) -> None:
    wrong = ~np.isfinite(to_float32(dtype, narrow))
    if raw is not None:
        wrong &= np.isfinite(to_float32(dtype, raw))
    if wrong.any():
        raise Overflow
