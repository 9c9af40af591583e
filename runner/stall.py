"""When did the run last get anywhere? One that hangs is reported, and after a limit ended with all stacks in the log.

Whoever gets on calls `WATCH.beat`. A thread compares the last beat with the limit; it touches no storage, since a hung mount is one
of the things that it is to notice. Were it held up itself, by native code that keeps Python's lock, then a timer of the
interpreter's own (`faulthandler`, a thread without that lock) writes the stacks and ends the process with 1.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runner.events import emit
from runner.exits import Retry, RunnerError

LONG = 4  # times the limit: start-up, a checkpoint and the result move whole models
REPORTED = 6  # the first report comes at a sixth of the limit
POLL = 5.0
STDERR = 2  # not sys.stderr: a test or a library may have put something without a descriptor there
LAST_WORDS = 10.0  # seconds for failure.json, which may lie on the very mount that hangs


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
    def guarding(self, seconds: float, end: Callable[[RunnerError], None]) -> Iterator[None]:
        """Watch while this is open; `end` is called in another thread, once, and is not expected to return."""
        self.beat("starting")
        over = threading.Event()
        _arm(seconds)
        thread = threading.Thread(target=self._watch, args=(seconds, end, over), name="stall", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            faulthandler.cancel_dump_traceback_later()

    def _watch(self, seconds: float, end: Callable[[RunnerError], None], over: threading.Event) -> None:
        reported = 0.0
        while not over.wait(min(POLL, seconds / REPORTED / 2)):
            _arm(seconds)
            still, limit = self.seconds_since_beat, self.limit(seconds)
            if still >= limit:
                faulthandler.cancel_dump_traceback_later()
                faulthandler.dump_traceback(all_threads=True, file=STDERR)
                end(stalled(self, still, limit))
                return
            if still < limit / REPORTED:
                reported = 0.0
            elif still >= 2 * reported:
                reported = still
                emit("stall", seconds=round(still, 1), doing=self.doing, step=self.step, limit=limit)


def _arm(seconds: float) -> None:
    """Wind up the interpreter's own timer again; it runs out only when the watching thread cannot run."""
    faulthandler.dump_traceback_later(LONG * seconds + POLL, exit=True, file=STDERR)


def stalled(watch: Watch, still: float, limit: float) -> Retry:
    """What a run ends with that got nowhere for too long."""
    after = f"after step {watch.step}" if watch.step is not None else "before the first step"
    return Retry(
        f"nothing has happened for {still:.0f} s ({watch.doing}, {after}); allowed: {limit:.0f} s",
        "it is started again from its last checkpoint; the stacks above show what hung (a mount, a collective, a device); "
        "RUNNER_STALL_SECONDS sets the limit",
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
