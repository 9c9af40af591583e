"""Rounding to bfloat16 with numpy, compared with the definition for every kind of number."""

from __future__ import annotations

import numpy as np
import pytest

from runner.merge.precision import Overflow, Scratch, to_float32

pytestmark = pytest.mark.heavy


def store(values: list[int] | np.ndarray, dtype: str = "BF16") -> np.ndarray:
    """float32 bits, rounded by the merge over a base of NaNs, which excuse NaN and infinity in the result."""
    bits = np.array(values, np.uint32)
    raw = np.full(bits.size, 0x7FC0 if dtype == "BF16" else 0x7E00, np.uint16)
    stored = raw if dtype == "BF16" else raw.view(np.float16)
    Scratch().store(dtype, bits.view(np.float32).copy(), stored)
    return stored


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0x3F808000, 0x3F80), (0x3F818000, 0x3F82),  # halfway: to even, down and up
        (0x3F808001, 0x3F81), (0x3F807FFF, 0x3F80),  # just beside
        (0xBF808000, 0xBF80), (0xBF818000, 0xBF82),  # negative
        (0x00000000, 0x0000), (0x80000000, 0x8000), (0x00008000, 0x0000), (0x00018000, 0x0002),  # zeros and subnormals
        (0x7F800000, 0x7F80), (0xFF800000, 0xFF80), (0x7F7FFFFF, 0x7F80),  # infinity stays, the largest rounds to it
    ],
)  # fmt: skip
def test_rounding_is_to_nearest_and_ties_to_even(bits: int, expected: int) -> None:
    """Bits in, bits out."""
    assert store([bits])[0] == expected


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0xFF80FFFF])
def test_not_a_number_stays_one(bits: int) -> None:
    """Adding the rounding to a NaN's payload must not carry into the sign and give zero."""
    assert np.isnan(to_float32("BF16", store([bits])))[0]


def test_every_bfloat16_survives_the_way_there_and_back() -> None:
    """All 65,536 of them; signalling NaNs may become quiet ones."""
    raw = np.arange(2**16, dtype=np.uint32).astype(np.uint16)
    wide = to_float32("BF16", raw)
    back = np.concatenate([store(part.view(np.uint32)) for part in np.split(wide, 4)])
    finite = ~np.isnan(wide)
    assert np.array_equal(back[finite], raw[finite])
    assert np.isnan(to_float32("BF16", back[~finite])).all()


def test_random_numbers_round_as_exact_arithmetic_says() -> None:
    """The nearer of the two neighbours; the even one where both are as near."""
    bits = np.random.default_rng(0).integers(0, 0x7F000000, 30_000, dtype=np.uint32)
    values, below = bits.view(np.float32).astype(np.float64), (bits >> 16).astype(np.uint32)
    low, high = ((below + step << 16).astype(np.uint32).view(np.float32).astype(np.float64) for step in (0, 1))
    up = (values - low > high - values) | ((values - low == high - values) & (below & 1 == 1))
    assert np.array_equal(store(bits), (below + up).astype(np.uint16))


@pytest.mark.parametrize(("dtype", "value"), [("BF16", 3.4e38), ("F16", 65520.0), ("F32", np.inf)])
def test_a_number_that_leaves_the_range_is_an_error(dtype: str, value: float) -> None:
    """A finite weight must not become infinite without a word; 65,504 is float16's largest."""
    raw = np.zeros(3, {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}[dtype])
    with pytest.raises(Overflow):
        Scratch().store(dtype, np.array([1, value, 2], np.float32), raw)
