"""The run's time limit: seconds used so far, kept beside the checkpoints so that a resumed run goes on counting.

A raised `attempt` is a new authorization, and starts at zero.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

from runner.events import message
from runner.hashing import write_json

NAME = "time-used.json"
SECONDS_BETWEEN = 5.0


class Budget:
    """Counts from its creation. `total`: seconds of all attempts; `since`: when the first one began (ISO 8601, UTC)."""

    def __init__(self, folder: Path, attempt: int, limit: int) -> None:
        self._file = folder / NAME
        self._attempt = attempt
        self._started = self._saved = time.monotonic()
        self.limit = limit
        self.since = datetime.now(UTC).isoformat(timespec="seconds")
        self._earlier, self._before = self._load()

    @property
    def used(self) -> float:
        """Seconds that count against the limit: those of this attempt, over all its restarts."""
        return self._before + time.monotonic() - self._started

    @property
    def total(self) -> float:
        """Seconds of all attempts."""
        return self._earlier + self.used

    @property
    def exhausted(self) -> bool:
        """Whether the limit is reached."""
        return self.used >= self.limit

    def tick(self) -> None:
        """Keep the count now and then: what a kill loses is at most `SECONDS_BETWEEN`."""
        if time.monotonic() - self._saved >= SECONDS_BETWEEN:
            self.save()

    def save(self) -> None:
        """Keep the count. A storage that refuses it will refuse the next checkpoint too, and that one decides."""
        self._saved = time.monotonic()
        state = {
            "attempt": self._attempt,
            "seconds": round(self.used, 1),
            "earlier": round(self._earlier, 1),
            "since": self.since,
        }
        try:
            write_json(self._file, state, durable=False)
        except OSError as error:
            message(f"{self._file}: the time used could not be saved: {error}")

    def _load(self) -> tuple[float, float]:
        try:
            state = json.loads(self._file.read_text(encoding="utf-8"))
            attempt, seconds, earlier = int(state["attempt"]), float(state["seconds"]), float(state["earlier"])
            self.since = str(state["since"])
        except FileNotFoundError:
            return 0.0, 0.0
        except (ValueError, KeyError, TypeError):
            message(f"{self._file} is damaged: counting starts again")
            return 0.0, 0.0
        return (earlier, seconds) if attempt == self._attempt else (earlier + seconds, 0.0)
