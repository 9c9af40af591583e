"""Faults that a test sets: what GitLab does wrong, to which requests, how many times."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

HANG = "hang"  # no answer at all
HALF = "half"  # the body breaks off in the middle
CUT = "cut"  # a whole response whose JSON ends in the middle, as a broken proxy gives it
SHORT = "short"  # a page that lacks its last entry, while X-Total counts it
DROP = "drop"  # the connection closes without an answer
DRIP = "drip"  # a byte a second
HTML = "html"  # a proxy's error page with status 200


@dataclass
class Fault:
    """What happens to requests whose "METHOD path" matches `pattern`.

    `after`: the request takes effect first, then the answer is lost. `skip`: that many matching requests pass before.
    """

    what: int | str
    pattern: str
    times: int = 1
    skip: int = 0
    after: bool = False
    retry_after: int | None = None
    seen: int = 0
    action: Callable[[], None] | None = None


@dataclass
class Faults:
    """The faults of one stand-in; counted under its own lock, so that each happens exactly `times` times."""

    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        what: int | str,
        pattern: str = ".*",
        *,
        times: int = 1,
        skip: int = 0,
        after: bool = False,
        retry_after: int | None = None,
    ) -> Fault:
        """Let `what` (a status or one of this module's words) happen: `add(429, "POST .*/notes", retry_after=1)`."""
        fault = Fault(what, pattern, times, skip, after, retry_after)
        with self._lock:
            self._faults.append(fault)
        return fault

    def before(self, pattern: str, action: Callable[[], None], *, times: int = 1, skip: int = 0) -> None:
        """Let something else happen first: what another process does between two calls of the one under test."""
        with self._lock:
            self._faults.append(Fault("action", pattern, times, skip, action=action))

    def afterwards(self, pattern: str, action: Callable[[], None], *, times: int = 1, skip: int = 0) -> None:
        """Let something else happen once the request has taken effect, before its answer is sent."""
        with self._lock:
            self._faults.append(Fault("action", pattern, times, skip, after=True, action=action))

    def clear(self) -> None:
        """No faults any more."""
        with self._lock:
            self._faults.clear()

    def of(self, request: str) -> list[Fault]:
        """The faults that this request meets: its actions, and at most one failure."""
        met: list[Fault] = []
        with self._lock:
            for fault in self._faults:
                failing = any(each.action is None for each in met)
                if not re.search(fault.pattern, request) or (fault.action is None and failing):
                    continue
                fault.seen += 1
                if fault.skip < fault.seen <= fault.skip + fault.times:
                    met.append(fault)
        return met
