"""The arithmetic of each kind of change, on one piece of a tensor at a time and in place."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from runner.merge.changes import Add, Change, LowRank, Replace, Rows
from runner.merge.layout import Output
from runner.merge.precision import STORED, TILE, TILE_COLUMNS, TILE_ROWS, Array, Overflow, Scratch
from runner.merge.report import TensorChange
from runner.merge.source import Source

_PIECE = 2**20  # elements read, computed and written at once: 2 MiB of bfloat16
_MOST = 4 * _PIECE


class Work:
    """One changed tensor: `apply` for each of its pieces, by any thread, then `result`."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.dtype = output.tensor.dtype
        self.stored = STORED[self.dtype]
        shape = output.tensor.shape
        self.columns = max(1, int(np.prod(shape[1:]))) if len(shape) > 1 else 1
        self.elements = int(np.prod(shape))
        self._lock = threading.Lock()
        self._changed, self._square = 0, 0.0

    @property
    def step(self) -> int:
        """Elements of one piece: whole rows, many enough for the matrix product to be worth its packing."""
        rows = max(1, min(max(TILE_ROWS, _PIECE // self.columns), _MOST // self.columns))
        return rows * self.columns

    def apply(self, piece: Array, first: int, scratch: Scratch) -> None:
        """Change `piece`, the stored elements from `first` on (one dimension), in place.

        Raises:
            Overflow: a number leaves the range of the base's type.
        """
        changed, square = self._apply(piece, first, scratch)
        with self._lock:
            self._changed += changed
            self._square += square

    def _apply(self, piece: Array, first: int, scratch: Scratch) -> tuple[int, float]:
        raise NotImplementedError

    def result(self) -> TensorChange:
        """What changed, once all pieces are done."""
        assert self.output.change is not None
        return TensorChange(self.elements, self._changed, float(self._square**0.5), self.output.change.kind)


class LowRankWork(Work):
    """W + scale * B A, float32, one rounding. The order of operations is peft's."""

    def __init__(self, output: Output, change: LowRank, source: Source) -> None:
        super().__init__(output)
        a, b = source.matrix(change.a), source.matrix(change.b)
        self.left, self.right = (a.T, b.T) if change.transposed else (b, a)
        self.scale = np.float32(change.scale)
        self._gram = _square_of_product(self.left, self.right) * change.scale**2
        if np.frexp(change.scale)[0] == 0.5:  # noqa: PLR2004 - a power of two: exact on either side of the product
            self.left, self.scale = self.left * self.scale, np.float32(1)

    def result(self) -> TensorChange:
        """The norm of scale * B A needs no pass over the weights."""
        self._square = self._gram
        return super().result()

    def _apply(self, piece: Array, first: int, scratch: Scratch) -> tuple[int, float]:
        rows, top = piece.reshape(-1, self.columns), first // self.columns
        changed = 0
        for block, tile in _tiles(rows):
            values = self._delta(top, block, tile, scratch)
            np.add(scratch.widen(self.dtype, rows[block, tile]), values, out=values)
            changed += scratch.store(self.dtype, values, rows[block, tile])
        return changed, 0.0

    def _delta(self, top: int, block: slice, tile: slice, scratch: Scratch) -> Array:
        values = scratch.delta((block.stop - block.start, tile.stop - tile.start))
        np.matmul(self.left[top + block.start : top + block.stop], self.right[:, tile], out=values)
        if self.scale != 1:
            np.multiply(values, self.scale, out=values)
        return values


class CompiledWork(LowRankWork):
    """The same for bfloat16, in one compiled pass. The compiler is imported only where there is such a tensor."""

    def __init__(self, output: Output, change: LowRank, source: Source) -> None:
        from runner.merge.kernel import add_product

        super().__init__(output, change, source)
        self._add_product = add_product
        self.left, self.right = np.ascontiguousarray(self.left), np.ascontiguousarray(self.right)

    def _apply(self, piece: Array, first: int, scratch: Scratch) -> tuple[int, float]:  # noqa: ARG002 - its own is smaller
        rows, top = piece.reshape(-1, self.columns), first // self.columns
        changed, lost = self._add_product(rows, self.left[top : top + len(rows)], self.right, self.scale)
        if lost:
            raise Overflow
        return changed, 0.0


class DoraWork(LowRankWork):
    """magnitude * (W + scale * B A) / |W + scale * B A|, the norm over each row (arXiv:2402.09353, section 4.1)."""

    def __init__(self, output: Output, change: LowRank, source: Source) -> None:
        super().__init__(output, change, source)
        assert change.magnitude is not None
        self.magnitude = source.vector(change.magnitude)
        self._gram = 0.0

    def result(self) -> TensorChange:
        """Here the norm is that of new - old."""
        return Work.result(self)

    def _apply(self, piece: Array, first: int, scratch: Scratch) -> tuple[int, float]:
        rows, top = piece.reshape(-1, self.columns), first // self.columns
        squares = np.zeros(len(rows), np.float64)
        for block, tile in _tiles(rows):
            values = self._sum(rows, top, block, tile, scratch)
            squares[block] += np.einsum("ij,ij->i", values, values, dtype=np.float64)
        norm = np.sqrt(squares).astype(np.float32)
        factor = (self.magnitude[top : top + len(rows)] / norm)[:, None]
        changed, square = 0, 0.0
        for block, tile in _tiles(rows):
            values = self._sum(rows, top, block, tile, scratch)
            np.multiply(values, factor[block], out=values)
            step = values - scratch.widen(self.dtype, rows[block, tile])
            square += float(np.vdot(step, step))
            changed += scratch.store(self.dtype, values, rows[block, tile])
        return changed, square

    def _sum(self, rows: Array, top: int, block: slice, tile: slice, scratch: Scratch) -> Array:
        values = self._delta(top, block, tile, scratch)
        return np.add(scratch.widen(self.dtype, rows[block, tile]), values, out=values)


class ReplaceWork(Work):
    """Other values, rounded to the base's type."""

    def __init__(self, output: Output, change: Replace, source: Source) -> None:
        super().__init__(output)
        self.change, self.source = change, source
        self.columns = 1

    def _apply(self, piece: Array, first: int, scratch: Scratch) -> tuple[int, float]:
        changed, square = 0, 0.0
        for start in range(0, piece.size, TILE):
            raw = piece[start : start + TILE]
            values = self.source.part(self.change.source, first + start, raw.size)
            step = values - scratch.widen(self.dtype, raw) if self.output.origin else values
            square += float(np.vdot(step, step))
            changed += scratch.store(self.dtype, values, raw, compare=self.output.origin is not None)
        return changed, square


class AddWork(Work):
    """Bias + scale * the pair's bias."""

    def __init__(self, output: Output, change: Add, source: Source) -> None:
        super().__init__(output)
        self.step_values = source.vector(change.source) * np.float32(change.scale)

    def _apply(self, piece: Array, first: int, scratch: Scratch) -> tuple[int, float]:
        changed, square = 0, 0.0
        for start in range(0, piece.size, TILE):
            raw = piece[start : start + TILE]
            step = self.step_values[first + start : first + start + raw.size]
            square += float(np.vdot(step, step))
            changed += scratch.store(self.dtype, scratch.widen(self.dtype, raw) + step, raw)
        return changed, square


class RowsWork(Work):
    """Other values in the rows of some tokens."""

    def __init__(self, output: Output, change: Rows, source: Source) -> None:
        super().__init__(output)
        self.values = source.matrix(change.source)
        self.indices = np.array(change.indices)

    def _apply(self, piece: Array, first: int, scratch: Scratch) -> tuple[int, float]:
        rows, top = piece.reshape(-1, self.columns), first // self.columns
        changed, square = 0, 0.0
        for number in np.flatnonzero((self.indices >= top) & (self.indices < top + len(rows))):
            row = rows[self.indices[number] - top]
            for start in range(0, row.size, TILE):
                raw, values = row[start : start + TILE], self.values[number, start : start + TILE]
                step = values - scratch.widen(self.dtype, raw)
                square += float(np.vdot(step, step))
                changed += scratch.store(self.dtype, values, raw)
        return changed, square


def work(output: Output, source: Source) -> Work:
    """The arithmetic of this tensor's change, with what it needs of the adapter in memory."""
    change: Change | None = output.change
    if isinstance(change, LowRank):
        return _low_rank(output, change)(output, change, source)
    if isinstance(change, Replace):
        return ReplaceWork(output, change, source)
    if isinstance(change, Rows):
        return RowsWork(output, change, source)
    assert change is not None
    return AddWork(output, change, source)


def _low_rank(output: Output, change: LowRank) -> type[LowRankWork]:
    if change.magnitude:
        return DoraWork
    return CompiledWork if output.tensor.dtype == "BF16" else LowRankWork


def _tiles(rows: Array) -> Iterator[tuple[slice, slice]]:
    height, width = rows.shape
    for top in range(0, height, TILE_ROWS):
        for left in range(0, width, TILE_COLUMNS):
            yield slice(top, min(top + TILE_ROWS, height)), slice(left, min(left + TILE_COLUMNS, width))


def _square_of_product(left: Array, right: Array) -> float:
    """|L R|^2 = trace((L' L)(R R')): two small matrices in place of a large one."""
    return float(np.sum((left.T.astype(np.float64) @ left) * (right.astype(np.float64) @ right.T).T))
