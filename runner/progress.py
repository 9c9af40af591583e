"""How far a run is, how fast, and how long it will take: computed from what the trainer knows, with no access to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.events import emit, finite, message
from runner.hashing import write_json
from runner.pace import Pace

NAME = "progress.json"
SECONDS_BETWEEN = 5.0  # lines between two logs of the trainer
SECONDS_BETWEEN_FILES = 1.0
# The trainer's own averages: over this process only, so wrong after a resume. Own figures replace them.
_NOT_METRICS = ("train_", "total_flos", "num_input_tokens_seen", "epoch")


@dataclass
class Progress:
    """State of the display.

    folder: gets progress.json.
    samples: rows that one step trains on, over all processes.
    rates: what the trainer logged last (loss, learning_rate, ...). latest: the last report, whole.
    """

    folder: Path
    samples: int = 0
    steps: int = 0
    rates: dict[str, float] = field(default_factory=dict)
    latest: dict[str, Any] = field(default_factory=dict)

    def begin(self, step: int, steps: int, tokens: int) -> None:
        """Training starts or goes on at `step` of `steps`, with `tokens` seen before."""
        self.steps = steps
        self._last = time.monotonic()
        self._last_file = 0.0
        self._last_step, self._tokens = step, tokens
        self._pace = Pace()
        self._ended: float | None = None
        self._first = 0.0

    def step_ended(self) -> None:
        """A step is over. The first of a process is not measured: it allocates, compiles and reads for the first time."""
        now = time.monotonic()
        if self._ended is not None:
            self._pace.add(now - self._ended)
        else:
            self._first = now - self._last
        self._ended = now

    @property
    def due(self) -> bool:
        """Whether a line is worth printing although the trainer logs nothing."""
        return time.monotonic() - self._last >= SECONDS_BETWEEN

    def report(self, step: int, epoch: float | None, tokens: int, memory: Mapping[str, float]) -> dict[str, float]:
        """Print a progress event, update progress.json, and return the figures that MLflow should have too."""
        now = time.monotonic()
        figures: dict[str, float] = {"percent": round(100 * step / self.steps, 2) if self.steps else 100.0, **memory}
        figures |= self._speeds(step - self._last_step, tokens - self._tokens, now - self._last)
        figures |= self._time_left(self.steps - step)
        figures |= {"tokens": tokens} if tokens else {}
        self._last, self._last_step, self._tokens = now, step, tokens
        self.latest = {
            "step": step, "steps": self.steps, "epoch": epoch, "tokens": tokens, **self.rates, **figures,
        }  # fmt: skip
        self._show(self.latest, now)
        return figures

    def _speeds(self, steps: int, tokens: int, seconds: float) -> dict[str, float]:
        """Since the last report."""
        found = {"samples_per_second": float(steps * self.samples), "tokens_per_second": float(tokens)}
        return {name: round(amount / seconds, 3) for name, amount in found.items() if amount > 0 and seconds > 0}

    def _time_left(self, steps: int) -> dict[str, float]:
        if not self._pace.count:
            return {"eta_seconds": round(self._first * steps, 1)} if self._first else {}
        error = self._pace.error(steps)
        uncertain = {"eta_error_seconds": round(error, 1)} if error is not None else {}
        return {
            "seconds_per_step": round(self._pace.mean, 6),
            "eta_seconds": round(self._pace.left(steps), 1),
            **uncertain,
        }

    def _show(self, fields: dict[str, Any], now: float) -> None:
        emit("progress", **fields)
        last = fields["step"] == self.steps
        if now - self._last_file < SECONDS_BETWEEN_FILES and not last:
            return
        self._last_file = now
        try:
            write_json(self.folder / NAME, finite({"time": round(time.time(), 3), **fields}), durable=False)
        except OSError as error:
            message(f"{self.folder / NAME}: {error}")


def metrics(logs: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of one of the trainer's logs that mean something at that step."""
    return {
        name: float(value)
        for name, value in logs.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not name.startswith(_NOT_METRICS)
    }


def summary(history: list[dict[str, Any]]) -> dict[str, float | None]:
    """Last value of each metric in the trainer's log, and the mean training loss over all logged steps.

    The trainer's own `train_loss` divides the losses of this process by the steps of all: after a resume it is too low.
    """
    found: dict[str, float | None] = {}
    weighted, covered = 0.0, 0
    for entry in history:
        step = int(entry.get("step", 0))
        found |= {name: finite(value) for name, value in metrics(entry).items() if name != "step"}
        if "loss" in entry and step > covered:
            weighted += float(entry["loss"]) * (step - covered)
            covered = step
    if covered:
        found["train_loss"] = finite(weighted / covered)
    return found
