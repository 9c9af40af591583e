"""How many rows equal an earlier one, in memory that hardly grows with the file.

Each row costs a 16-byte digest, sorted into 256 buckets by its first byte; a bucket beyond 32 KiB goes to a temporary
file. At the end each bucket is counted by itself: 16 bytes of disk a row, and 0.5 bytes of memory (all rows x about
130 bytes / 256) above a floor of 8 MiB.
"""

from __future__ import annotations

import hashlib
import marshal
import tempfile
from functools import lru_cache
from typing import IO, Any, Self

_SIZE = 16
_BUCKETS = 256
_IN_MEMORY = 32 << 10
# No references between equal strings: the bytes depend on the value alone.
_MARSHAL_VERSION = 2


class Duplicates:
    """Takes rows; `count` says at the end how many there were before in equal form. A context manager: it has files."""

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(_BUCKETS)]
        self._files: dict[int, IO[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def take(self, row: Any) -> None:
        """Remember a row; the order of an object's keys makes no difference."""
        digest = hashlib.blake2b(marshal.dumps(_canonical(row), _MARSHAL_VERSION), digest_size=_SIZE).digest()
        bucket = self._buckets[digest[0]]
        bucket += digest
        if len(bucket) >= _IN_MEMORY:
            self._spill(digest[0])

    def count(self) -> int:
        """Rows that equal an earlier one."""
        return sum(map(self._repeated, range(_BUCKETS)))

    def _spill(self, number: int) -> None:
        if number not in self._files:
            self._files[number] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._files[number].write(self._buckets[number])
        self._buckets[number].clear()

    def _repeated(self, number: int) -> int:
        digests = bytes(self._buckets[number])
        if number in self._files:
            self._files[number].seek(0)
            digests += self._files[number].read()
        rows = len(digests) // _SIZE
        return rows - len({digests[start : start + _SIZE] for start in range(0, len(digests), _SIZE)})


def _canonical(value: Any) -> Any:
    """The value with each object as (sorted keys, values), a tuple, which no JSON value is."""
    if type(value) is dict:
        keys = _sorted(tuple(value))
        items = map(value.__getitem__, keys)
        return keys, [_canonical(item) if type(item) is dict or type(item) is list else item for item in items]
    if type(value) is list:
        return [_canonical(item) if type(item) is dict or type(item) is list else item for item in value]
    return value


@lru_cache(maxsize=1024)
def _sorted(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(keys))
