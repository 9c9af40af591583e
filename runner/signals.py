"""SIGTERM: while steps run it is remembered until the next step boundary, before that it ends the process at once.

A second one means that there is no time left for the step: it ends the process at once, behind its last whole checkpoint.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from runner.exits import Retry, Stopped


class Termination(BaseException):
    """Raised out of whatever runs, an import for instance; no library catches it."""


class Sigterm:
    """`patient` is true while a step boundary is near: then `received` tells, and nothing is raised."""

    def __init__(self) -> None:
        self.received = False
        self.patient = False
        self._leaving = False
        self._heard = False

    def hear(self) -> None:
        """Another rank was signalled; this process's own signal may be on its way, and is then no second one."""
        if not self.received:
            self.received = self._heard = True

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Take over SIGTERM for a while; call it in the main thread."""
        before = signal.signal(signal.SIGTERM, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        patient = self.patient and (self._heard or not self.received)
        self._heard = False
        self.received = True
        if not patient and not self._leaving:  # a further one must not cut the cleaning up
            self._leaving = True
            raise Termination


def stopped(checkpoint: str | None) -> Retry:
    """What a run that obeyed SIGTERM ends with."""
    kept = f"the last checkpoint is {checkpoint}" if checkpoint else "no step was lost: training had not begun"
    return Stopped(f"stopped by SIGTERM; {kept}", "start the same run again: it resumes by itself")
