"""Programs that tests start in the background, and stop for certain.

Every program is told by the kernel to end when the test run ends, however it ends (PR_SET_PDEATHSIG): also after `kill -9`
of pytest. It runs in a session of its own, so that ^C reaches pytest alone, whose fixtures then stop everything in order.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self, TypeVar

T = TypeVar("T")
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_LIBC = ctypes.CDLL(None)
_GRACE = 15.0  # seconds between SIGTERM and SIGKILL
# Seconds until something will not happen any more. Argo CD and the Job controller look away for up to three minutes after
# an API server was gone, so a shorter wait would fail a machine for being slow.
PATIENCE = 300.0
_INTERVAL = 0.1  # seconds between two looks


class Program:
    """One background program: its log stays readable after it ended, and it can be started again on the same ports."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self.alive else None

    def start(self) -> Self:
        """Start it, its output appended to the log; returns itself."""
        assert not self.alive, f"{self.name} runs already"
        parent = os.getpid()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                env=self.environment,
                start_new_session=True,
                preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509 - between fork and exec, in a process without threads
            )
        return self

    def stop(self) -> None:
        """End it and everything it started: SIGTERM, and SIGKILL when that takes too long."""
        if self._process is None:
            return
        if self.alive:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a lost machine would."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


class Programs:
    """Programs of one state folder, stopped in reverse order: `with Programs(folder) as programs:`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Program:
        """Start a program; its log is <folder>/<name>.log."""
        program = Program(name, command, self.folder / f"{name}.log", environment)
        self._stack.callback(program.stop)
        return program.start()


def _die_with(parent: int) -> None:
    """Ask the kernel, which setpriv(1) would do too late for a parent that is already gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def wait_for(look: Callable[[], T | None], what: str, seconds: float = PATIENCE, programs: Sequence[Program] = ()) -> T:
    """What `look` returns as soon as it is truthy.

    Raises:
        AssertionError: it never was, or one of the programs ended; with the end of their logs.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        ended = [program for program in programs if not program.alive]
        if ended or time.monotonic() > end:
            reason = f"{ended[0].name} ended" if ended else f"not within {seconds:g} s"
            logs = "".join(f"\n--- {program.name}\n{program.tail()}" for program in ended or programs)
            raise AssertionError(f"{what}: {reason}{logs}")
        time.sleep(_INTERVAL)
    return found


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nothing listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def listening(port: int) -> bool:
    """Whether something accepts connections on a port of the loopback address."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def holds(look: Callable[[], object], what: str, seconds: float = 3) -> None:
    """Look again and again for a while.

    Raises:
        AssertionError: once it was not so.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert look(), f"{what}: not so any more"
        time.sleep(_INTERVAL)
