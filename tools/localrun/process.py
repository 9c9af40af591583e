"""One container's process: its lines as they come, signals forwarded, and nothing of it left when it has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from tools.errors import ToolFault
from tools.localrun.container import Command
from tools.localrun.interrupts import Interrupts

Lines = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: its return code, and whether its deadline had passed."""

    returncode: int
    late: bool


@dataclass
class Process:
    """A process in a group of its own, as tini keeps it in the image.

    grace: seconds between SIGTERM and SIGKILL. deadline: seconds it may run, None for ever.
    """

    command: Command
    grace: float
    deadline: float | None
    _late: bool = False
    _timers: list[threading.Timer] = field(default_factory=list)

    def run(self, interrupts: Interrupts, on_output: Lines, on_error: Lines) -> Ended:
        """Start it and wait; a first signal becomes SIGTERM, a second one SIGKILL. `on_error` is called from another thread.

        Raises:
            ToolFault: it cannot be started.
        """
        child = self._start()
        interrupts.watch(lambda again: _signal(child, signal.SIGKILL) if again else self._stop(child))
        if self.deadline is not None:
            self._after(self.deadline, lambda: self._be_late(child))
        threads = [
            threading.Thread(target=_pump, args=(child.stderr, on_error)),
            threading.Thread(target=_reap, args=(child,)),
        ]
        for thread in threads:
            thread.start()
        _pump(child.stdout, on_output)
        for thread in threads:
            thread.join()
        interrupts.watch(None)
        for timer in self._timers:
            timer.cancel()
        return Ended(child.returncode, self._late)

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self.command.argv,
                env=self.command.environment,
                cwd=self.command.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            found = f"{self.command.argv[0]} cannot be started: {error.strerror}"
            raise ToolFault(f"{found}; run `make setup-runner`, or name another --runner-python") from error

    def _be_late(self, child: subprocess.Popen[bytes]) -> None:
        self._late = True
        self._stop(child)

    def _stop(self, child: subprocess.Popen[bytes]) -> None:
        _signal(child, signal.SIGTERM)
        self._after(self.grace, lambda: _signal(child, signal.SIGKILL))

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _reap(child: subprocess.Popen[bytes]) -> None:
    """A container ends with its first process: what that leaves behind would keep the pipes, and the GPU, for ever."""
    child.wait()
    _signal(child, signal.SIGKILL)


def _pump(stream: IO[bytes] | None, take: Lines) -> None:
    assert stream is not None
    with stream:
        for line in stream:
            take(line.decode("utf-8", "replace").rstrip("\n"))
