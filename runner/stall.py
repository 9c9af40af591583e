"""When did the run last get anywhere? One that hangs is reported, and after a limit ended with all stacks in the log.

Whoever gets on calls `WATCH.beat`. A thread compares the last beat with the limit; it touches no storage, since a hung mount is one
of the things that it is to notice. Were it held up itself, by native code that keeps Python's lock, then `_Rescue` does its
work without that lock.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runner.alarm import Alarm
from runner.events import emit
from runner.exits import Retry, RunnerError

LONG = 4  # times the limit: start-up, a checkpoint and the result move whole models
REPORTED = 6  # the first report comes at a sixth of the limit
POLL = 5.0
STDERR = 2  # not sys.stderr: a test or a library may have put something without a descriptor there
LAST_WORDS = 10.0  # seconds for failure.json, which may lie on the very mount that hangs
_MOST_COMMAND = 2**15  # bytes: a path and a few sentences


class Watch:
    """What the run does and since when, by a clock that nobody sets.

    doing: starting, step, evaluation, checkpoint, storage (waiting for it) or finishing. step: the last one that ended.
    """

    def __init__(self) -> None:
        self.doing = "starting"
        self.step: int | None = None
        self._beat = time.monotonic()
        self._stepped: float | None = None

    def beat(self, doing: str, step: int | None = None) -> None:
        """The run got somewhere; `step` is given when a step has ended. Costs a microsecond."""
        self._beat = time.monotonic()
        self.doing = doing
        if step is not None:
            self.step, self._stepped = step, self._beat

    @property
    def seconds_since_beat(self) -> float:
        """How long nothing at all has happened."""
        return time.monotonic() - self._beat

    @property
    def seconds_since_step(self) -> float | None:
        """How long ago the last step ended; None before the first."""
        return None if self._stepped is None else time.monotonic() - self._stepped

    def limit(self, seconds: float) -> float:
        """How long the present doing may take, where a step may take `seconds`."""
        return seconds if self.doing in ("step", "evaluation", "storage") else LONG * seconds

    @contextmanager
    def guarding(
        self, seconds: float, end: Callable[[RunnerError], None], words: Callable[[RunnerError], str | None]
    ) -> Iterator[None]:
        """Watch while this is open.

        seconds: how long a step may take. end: called in another thread, once, and not expected to return. words: the shell's
        command that reports a failure for this process where it cannot; None where somebody else reports.
        """
        self.beat("starting")
        over = threading.Event()
        rescue = _Rescue(self, seconds, words)
        rescue.put_off()
        thread = threading.Thread(target=self._watch, args=(seconds, end, over, rescue), name="stall", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            rescue.close()

    def _watch(
        self, seconds: float, end: Callable[[RunnerError], None], over: threading.Event, rescue: _Rescue
    ) -> None:
        reported = 0.0
        while not over.wait(min(POLL, seconds / REPORTED / 2)):
            rescue.put_off()
            still, limit = self.seconds_since_beat, self.limit(seconds)
            if still >= limit:
                faulthandler.dump_traceback(all_threads=True, file=STDERR)
                end(stalled(self, still, limit))
                return
            if still < limit / REPORTED:
                reported = 0.0
            elif still >= 2 * reported:
                reported = still
                emit("stall", seconds=round(still, 1), doing=self.doing, step=self.step, limit=limit)


class _Rescue:
    """What is left when native code keeps Python's lock, so that no thread of Python's runs.

    Three timers that need no lock, and that the watching thread puts off as long as it can: `faulthandler` writes the stacks,
    a program of its own reports the failure, and the process ends with 75.
    """

    def __init__(self, watch: Watch, seconds: float, words: Callable[[RunnerError], str | None]) -> None:
        self._watch = watch
        self._limit = LONG * seconds
        self._words = words
        self._command = ctypes.create_string_buffer(_MOST_COMMAND)
        self._report = Alarm("system", ctypes.addressof(self._command))
        self._end = Alarm("_exit", Retry.exit_code)

    def put_off(self) -> None:
        """Wind all three up again."""
        patience = self._limit + POLL
        failure = stalled(self._watch, patience, self._limit)
        self._command.value = (self._words(failure) or ":").encode()
        faulthandler.dump_traceback_later(patience, file=STDERR)
        self._report.wind(patience + 1)
        self._end.wind(patience + 1 + LAST_WORDS)

    def close(self) -> None:
        """Leave the process to itself."""
        faulthandler.cancel_dump_traceback_later()
        self._report.close()
        self._end.close()


def stalled(watch: Watch, still: float, limit: float) -> Retry:
    """What a run ends with that got nowhere for too long."""
    after = f"after step {watch.step}" if watch.step is not None else "before the first step"
    return Retry(
        f"nothing has happened for {still:.0f} s ({watch.doing}, {after}); allowed: {limit:.0f} s",
        "it is started again from its last checkpoint; the stacks above show what hung (a mount, a collective, a device); "
        "`patience.stall_seconds` of the environment sets the limit",
        code="stalled",
    )


def leave(failure: RunnerError, report: Callable[[], None]) -> None:
    """End the whole process with the failure's exit code, from any thread; `report` gets a few seconds for its say."""
    words = threading.Thread(target=report, daemon=True)
    words.start()
    words.join(LAST_WORDS)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(failure.exit_code)


WATCH = Watch()
