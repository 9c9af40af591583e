"""One shard from the base to the result: pieces are read, hashed, changed and written by several threads at once.

numpy, hashlib and the system calls leave Python's global lock, so the threads fill the cores and one's waiting for the disk is
another's computing. Hashing needs the pieces in their order, which `_Turn` keeps.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from runner.exits import Mismatch
from runner.merge.headers import BYTES, open_regular
from runner.merge.layout import Output, Shard
from runner.merge.precision import Overflow, Scratch
from runner.merge.report import TensorChange
from runner.merge.source import Source
from runner.merge.work import Work, work

_BYTES = 4 * 2**20  # of one piece of an untouched tensor
_AHEAD = 16 * 2**20
_THREADS = 8
_NO_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes of one tensor: where they come from (None: nowhere) and go to; `first` counts elements."""

    origin: int | None
    target: int
    size: int
    first: int = 0
    work: Work | None = None


@dataclass(slots=True)
class Streamed:
    """What one shard's stream found. The hashes are hexadecimal SHA-256, empty where none were asked for."""

    base: str = ""
    result: str = ""
    changes: dict[str, TensorChange] = field(default_factory=dict)
    untouched: int = 0


class _Turn:
    """Lets pieces pass in their order."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._condition, self._next, self._stopped = threading.Condition(), 0, stopped

    def __call__(self, number: int, action: Callable[[], object]) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._next == number or self._stopped())
        if not self._stopped():
            action()
        with self._condition:
            self._next += 1
            self._condition.notify_all()

    def wake(self) -> None:
        """Let everybody look whether to stop."""
        with self._condition:
            self._condition.notify_all()


class _Stream:
    """The threads' common state."""

    def __init__(self, shard: Shard, read: int, written: int, source: Source, *, hashing: bool) -> None:
        self.shard, self.read, self.written, self.source, self.hashing = shard, read, written, source, hashing
        self.found = Streamed()
        self.incoming, self.outgoing = hashlib.sha256(), hashlib.sha256()
        self._works: list[Work] = []
        self._pieces = enumerate(self._make())
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self.error: BaseException | None = None
        self.take_in, self.take_out = _Turn(lambda: self.error is not None), _Turn(lambda: self.error is not None)

    def _make(self) -> Iterator[_Piece]:
        """All pieces in the order of the result's bytes, which is that of the base's too."""
        for output in self.shard.outputs:
            if output.change is None:
                self.found.untouched += 1
                yield from _pieces(output, _BYTES, 1)
            else:
                changing = work(output, self.source)
                self._works.append(changing)
                yield from _pieces(output, changing.step, BYTES[output.tensor.dtype], changing)

    def next(self) -> tuple[int, _Piece] | None:
        """The next piece for whoever asks; preparing a tensor happens in here, one at a time."""
        with self._lock:
            return None if self.error else next(self._pieces, None)

    def fail(self, error: BaseException) -> None:
        """Stop all threads; the first error is kept."""
        self.error = self.error or error
        self.take_in.wake()
        self.take_out.wake()

    def run(self) -> None:
        """What one thread does."""
        scratch, buffer = Scratch(), bytearray()
        try:
            while (taken := self.next()) is not None:
                number, piece = taken
                if len(buffer) < piece.size:
                    buffer = bytearray(piece.size)
                self._one(number, piece, memoryview(buffer)[: piece.size], scratch)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self.fail(error)

    def _one(self, number: int, piece: _Piece, data: memoryview, scratch: Scratch) -> None:
        if piece.work is None and not self.hashing and piece.origin is not None:
            _copy(self.read, self.written, piece)
            return
        if piece.origin is not None:
            _fill(self.read, data, piece.origin)
        if self.hashing:
            self.take_in(number, lambda: self.incoming.update(data if piece.origin is not None else b""))
        if piece.work is not None:
            piece.work.apply(np.frombuffer(data, piece.work.stored), piece.first, scratch)
        if self.hashing:
            self.take_out(number, lambda: self.outgoing.update(data))
        with self._writing:  # the kernel lets one writer into a file, and burns the others' time while they wait for it
            _put(self.written, data, piece.target)

    def finish(self) -> Streamed:
        """The findings, once all threads have ended."""
        self.found.changes = {each.output.name: each.result() for each in self._works}
        if self.hashing:
            self.found.base, self.found.result = self.incoming.hexdigest(), self.outgoing.hexdigest()
        return self.found


def stream(shard: Shard, base: Path, target: Path, source: Source, *, header: bytes, hashing: bool) -> Streamed:
    """Write one shard of the result.

    header: the base file's own, for its hash.

    Raises:
        Mismatch: the base became shorter, or a number overflowed. OSError passes through.
    """
    read = open_regular(base)
    try:
        written = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            return _run(_Stream(shard, read, written, source, hashing=hashing), header)
        finally:
            os.close(written)  # NFS reports here what it could not write
    finally:
        os.close(read)


def _run(made: _Stream, header: bytes) -> Streamed:
    with suppress(OSError):  # advice; some file systems take none
        os.posix_fadvise(made.read, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    if made.hashing:
        made.incoming.update(header)
        made.outgoing.update(made.shard.header)
    _put(made.written, memoryview(made.shard.header), 0)
    count = min(_THREADS, len(os.sched_getaffinity(0)))
    threads = [threading.Thread(target=made.run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:  # a signal's
        made.fail(error)
        for thread in threads:
            thread.join()
        raise
    if isinstance(made.error, Overflow):
        raise Mismatch(
            f"{made.shard.name}: the merged weights leave the range of the base's type",
            "the training diverged: lower its learning rate and train again",
        ) from made.error
    if made.error is not None:
        raise made.error
    return made.finish()


def _pieces(output: Output, step: int, width: int, changing: Work | None = None) -> Iterator[_Piece]:
    """step: elements of one piece; width: bytes of one element."""
    tensor, origin = output.tensor, output.origin
    for first in range(0, tensor.size // width, step):
        offset = first * width
        start = None if origin is None else origin.offset + offset
        yield _Piece(start, tensor.offset + offset, min(step * width, tensor.size - offset), first, changing)


def _fill(descriptor: int, data: memoryview, offset: int) -> None:
    with suppress(OSError):
        os.posix_fadvise(descriptor, offset + len(data), _AHEAD, os.POSIX_FADV_WILLNEED)
    done = 0
    while done < len(data):
        count = os.preadv(descriptor, [data[done:]], offset + done)
        if not count:
            raise Mismatch("the base model became shorter while it was read", "merge again when nobody writes it")
        done += count


def _put(descriptor: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def _copy(read: int, written: int, piece: _Piece) -> None:
    """Let the kernel copy: it shares the blocks where the file system can."""
    assert piece.origin is not None
    done = 0
    try:
        while done < piece.size:
            count = os.copy_file_range(read, written, piece.size - done, piece.origin + done, piece.target + done)
            if not count:
                break
            done += count
    except OSError as error:
        if error.errno not in _NO_COPY:
            raise
    if done < piece.size:
        data = memoryview(bytearray(piece.size - done))
        _fill(read, data, piece.origin + done)
        _put(written, data, piece.target + done)
