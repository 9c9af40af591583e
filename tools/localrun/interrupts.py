"""SIGINT and SIGTERM while Jobs run: remembered, and handed to whatever runs at the moment."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupts:
    """A context in which the two signals raise nothing.

    received: the first signal that came, None so far.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._act: Callable[[bool], None] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def watch(self, act: Callable[[bool], None] | None) -> None:
        """Call `act(again)` on each signal from now on, at once for one that came already; `again`: not the first."""
        self._act = act
        if act is not None and self.received is not None:
            act(False)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        again = self.received is not None
        self.received = self.received or number
        if self._act is not None:
            self._act(again)
