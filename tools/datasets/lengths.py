"""The distribution of row lengths, exact, in memory that depends on how many different lengths there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import ceil

from tools.formats.dataset import TokenLengths


class Lengths:
    """Counts lengths in tokens."""

    def __init__(self) -> None:
        self._rows: Counter[int] = Counter()

    def add(self, lengths: Iterable[int]) -> None:
        """Take the lengths of some rows."""
        self._rows.update(lengths)

    def summary(self, model: str) -> TokenLengths:
        """The distribution as the manifest keeps it; percentiles by nearest rank, so each is a length that occurs."""
        rows = self._rows.total()
        total = sum(length * count for length, count in self._rows.items())
        return TokenLengths(
            model=model,
            total=total,
            mean=round(total / rows, 1) if rows else 0.0,
            p50=self._percentile(50),
            p90=self._percentile(90),
            p99=self._percentile(99),
            max=max(self._rows, default=0),
            histogram=self._histogram(),
        )

    def _percentile(self, percent: int) -> int:
        rank, passed = ceil(self._rows.total() * percent / 100), 0
        for length in sorted(self._rows):
            passed += self._rows[length]
            if passed >= rank:
                return length
        return 0

    def _histogram(self) -> dict[str, int]:
        """Rows by the smallest power of two that is not below their length."""
        bounds: Counter[int] = Counter()
        for length, count in self._rows.items():
            bounds[1 << max(0, length - 1).bit_length()] += count
        return {str(bound): bounds[bound] for bound in sorted(bounds)}
