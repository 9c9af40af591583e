"""The compiled pass over bfloat16 beside the same arithmetic in exact steps, for every kind of number."""

from __future__ import annotations

import numpy as np
import pytest

from runner.merge.kernel import _compiled, add_product
from runner.merge.precision import Scratch, to_float32

pytestmark = pytest.mark.heavy

ONE, TWO = np.float32(1), np.float32(2)


def bfloat16(values: np.ndarray) -> np.ndarray:
    """Bits of float32 numbers, rounded by the merge's numpy."""
    bits = np.zeros(values.shape, np.uint16)
    for row, target in zip(values, bits, strict=True):
        Scratch().store("BF16", row.astype(np.float32), target)
    return bits


@pytest.mark.parametrize("shape", [(1, 1), (3, 511), (7, 512), (5, 513), (64, 1400)])
@pytest.mark.parametrize("rank", [1, 3, 4, 5, 16])
def test_whole_numbers_come_out_exactly(shape: tuple[int, int], rank: int) -> None:
    """Small integers: every sum is exact, whatever the order, so one wrong index in rows, columns or rank shows."""
    generator = np.random.default_rng(rank)
    rows = generator.integers(-3, 4, shape).astype(np.float32)
    left = generator.integers(-2, 3, (shape[0], rank)).astype(np.float32)
    right = generator.integers(-2, 3, (rank, shape[1])).astype(np.float32)
    raw = bfloat16(rows)
    before = raw.copy()
    changed, lost = add_product(raw, left, right, TWO)
    assert np.array_equal(to_float32("BF16", raw), rows + 2 * (left @ right))
    assert (changed, lost) == (np.count_nonzero(raw != before), 0)


def test_rounding_is_that_of_numpys_path() -> None:
    """One term, so that the sum before the rounding is the same number on both ways."""
    generator = np.random.default_rng(1)
    rows, left = bfloat16(generator.standard_normal((40, 700))), generator.standard_normal((40, 1)).astype(np.float32)
    expected = bfloat16(to_float32("BF16", rows) + left)
    add_product(rows, left, np.ones((1, 700), np.float32), ONE)
    assert np.array_equal(rows, expected)


def test_every_bfloat16_stays_itself_when_nothing_is_added() -> None:
    """All 65,536, negative zero aside (-0 + 0 is 0); signalling NaNs become quiet ones; nothing counts as lost."""
    raw = np.arange(2**16, dtype=np.uint32).astype(np.uint16).reshape(256, 256)
    before, wide = raw.copy(), to_float32("BF16", raw.copy())
    zero = np.zeros((256, 1), np.float32)
    changed, lost = add_product(raw, zero, zero.reshape(1, 256), ONE)
    kept = ~np.isnan(wide) & (before != 0x8000)
    assert np.array_equal(raw[kept], before[kept])
    assert np.isnan(to_float32("BF16", raw[np.isnan(wide)])).all()
    assert (changed, lost) == (np.count_nonzero(raw != before), 0)


@pytest.mark.parametrize(
    ("added", "expected"), [(np.inf, 2), (-np.inf, 2), (np.nan, 2), (3.4e38, 2), (1e38, 1), (1, 0)]
)
def test_a_finite_number_that_is_none_any_more_is_counted(added: float, expected: int) -> None:
    """Infinity, NaN and what only rounding carries to infinity; what was NaN or infinite before does not count."""
    raw = np.array([[0x7F7F, 0x7FC0, 0x7F80, 0x3F80]], np.uint16)  # the largest, NaN, infinity, one
    _, lost = add_product(raw, np.array([[added]], np.float32), np.ones((1, 4), np.float32), ONE)
    assert lost == expected


def test_what_cannot_be_kept_is_compiled_all_the_same() -> None:
    """A function without a file has no place in numba's cache, as one in a folder that nobody may write to has none."""
    names: dict[str, object] = {}
    exec("def twice(number):\n    return number + number", names)
    compiled = _compiled(names["twice"])
    assert (compiled(2), len(compiled.signatures)) == (4, 1)
