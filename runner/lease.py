"""Who works in a run's folder: the holder of the lease with the highest number, for as long as its heart beats.

    <checkpoints>/lease-<number>.json      rewritten in place every BEAT seconds by its holder

A lease is taken by creating the file of the next number, which a file system grants to one caller only. Nobody compares clocks:
whoever finds a lease watches, by its own monotonic clock, whether the content changes. ADR 035 has the reasons.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from runner.events import message
from runner.exits import Retry, RunnerError
from runner.stall import WATCH

BEAT = 5.0
# Twelve beats: an interpreter that loads a large model, or a server that fails over, may miss several.
PATIENCE = 60.0
POLL = 1.0
_NAME = re.compile(r"^lease-([0-9]+)\.json$")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Lost(Retry):
    """Another process has taken the lease over; whatever this one still writes would be too late."""


class Lease:
    """One process's claim on a folder. Use `held`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nonce = uuid.uuid4().hex
        self._number = 0
        self._beats = 0
        self._lock = threading.Lock()
        self.holder = f"{socket.gethostname()}, process {os.getpid()}"

    def take(self) -> None:
        """Take the lease, if need be over that of a holder whose heart has stopped.

        Raises:
            Retry: another process holds it, or was faster.
        """
        found = self._highest()
        if found and not self._dead(found):
            raise _busy(self._file(found), _read(self._file(found)))
        self._number = found + 1
        try:
            descriptor = os.open(self._file(self._number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError as error:
            raise _busy(self._file(self._number), _read(self._file(self._number))) from error
        os.close(descriptor)
        self._write(released=False)
        self.confirm()
        for number in self._numbers():
            if number < self._number:
                self._file(number).unlink(missing_ok=True)

    def confirm(self) -> None:
        """Make sure that the lease is still this process's.

        Raises:
            Lost: it is not.
            OSError: the storage does not say.
        """
        highest = self._highest()
        content = _read(self._file(highest))
        if highest != self._number or content.get("nonce") != self._nonce:
            raise Lost(
                f"{self._file(highest)}: the lease was taken over by {content.get('holder', 'somebody')}, while {self.holder} "
                "was away for more than a minute",
                "nothing: the other process goes on",
                code="busy",
            )

    def beat(self) -> None:
        """Show that this process lives, and how far its run is.

        Raises:
            Lost, OSError: as for `confirm`.
        """
        with self._lock:
            self.confirm()
            self._beats += 1
            self._write(released=False)

    def release(self) -> None:
        """Say that the work is over, so that the next one need not wait; not where the last beat hangs on the storage."""
        if not self._lock.acquire(timeout=BEAT):
            return
        with suppress(OSError, Lost):
            self.confirm()
            self._write(released=True)

    def _dead(self, number: int) -> bool:
        """Whether the holder of a lease is gone.

        The caller holds the folder's flock, and so did the other: on one kernel and one mounted file system that proves its
        end. Elsewhere only watching tells.
        """
        first = _read(self._file(number))
        if first.get("released") is True or (first.get("kernel") and first.get("kernel") == self._kernel()):
            return True
        message(f"{self._file(number)} is of {first.get('holder', 'somebody')}: watching it for {PATIENCE:.0f} s")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            WATCH.beat("starting")
            time.sleep(POLL)
            now = _read(self._file(number))
            if now.get("released") is True:
                return True
            if now != first or self._highest() != number:
                return False
        message(
            f"{self._file(number)} has not changed for {PATIENCE:.0f} s: its holder is gone, the lease is taken over"
        )
        return True

    def _write(self, *, released: bool) -> None:
        since = WATCH.seconds_since_step
        content = {
            "holder": self.holder,
            "nonce": self._nonce,
            "kernel": self._kernel(),
            "beat": self._beats,
            "released": released,
            "doing": WATCH.doing,
            "step": WATCH.step,
            "seconds_since_step": None if since is None else round(since, 1),
        }
        # In place and always as long: a reader on another node then sees the old, the new or a mixture, never nothing.
        text = json.dumps(content).encode().ljust(1024) + b"\n"
        descriptor = os.open(self._file(self._number), os.O_WRONLY)
        try:
            os.pwrite(descriptor, text, 0)
        finally:
            os.close(descriptor)

    def _kernel(self) -> str | None:
        """The running kernel, another one after each start, and its number of the file system that the folder is on."""
        try:
            return f"{_BOOT.read_text(encoding='ascii').strip()}/{self._folder.stat().st_dev}"
        except OSError:
            return None

    def _numbers(self) -> list[int]:
        return [int(match[1]) for file in self._folder.iterdir() if (match := _NAME.match(file.name))]

    def _highest(self) -> int:
        return max(self._numbers(), default=0)

    def _file(self, number: int) -> Path:
        return self._folder / f"lease-{number}.json"


@contextmanager
def held(folder: Path, lost: Callable[[RunnerError], None]) -> Iterator[Lease]:
    """Hold the folder's lease; `lost` is called in another thread, once, when somebody else has taken it over.

    Raises:
        Retry: another process holds it.
    """
    lease = Lease(folder)
    lease.take()
    over = threading.Event()
    thread = threading.Thread(target=_beating, args=(lease, lost, over), name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        over.set()
        thread.join(BEAT)
        lease.release()


def _beating(lease: Lease, lost: Callable[[RunnerError], None], over: threading.Event) -> None:
    troubled = False
    while not over.wait(BEAT):
        try:
            lease.beat()
            troubled = False
        except Lost as error:
            lost(error)
            return
        except OSError as error:
            if not troubled:
                message(f"the lease could not be renewed: {error}")
            troubled = True


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _busy(file: Path, content: dict[str, Any]) -> Retry:
    return Retry(
        f"{file}: {content.get('holder', 'another process')} works on this run",
        "wait for its end, or end it: two processes cannot write the same checkpoints",
        code="busy",
    )
