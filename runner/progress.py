"""How far a run is, how fast, and how long it will take: computed from what the trainer knows, with no access to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.events import emit, finite, message
from runner.hashing import write_json

NAME = "progress.json"
SECONDS_BETWEEN = 5.0  # lines between two logs of the trainer
SECONDS_BETWEEN_FILES = 1.0
# The trainer's own averages: over this process only, so wrong after a resume. Own figures replace them.
_NOT_METRICS = ("train_", "total_flos", "num_input_tokens_seen", "epoch")


@dataclass
class Progress:
    """State of the display.

    folder: gets progress.json.
    rates: what the trainer logged last (loss, learning_rate, ...).
    """

    folder: Path
    start_step: int = 0
    steps: int = 0
    rates: dict[str, float] = field(default_factory=dict)

    def begin(self, step: int, steps: int, tokens: int) -> None:
        """Training starts or goes on at `step` of `steps`, with `tokens` seen before."""
        self.start_step, self.steps = step, steps
        self._started = self._last = time.monotonic()
        self._last_file = 0.0
        self._tokens = tokens

    @property
    def due(self) -> bool:
        """Whether a line is worth printing although the trainer logs nothing."""
        return time.monotonic() - self._last >= SECONDS_BETWEEN

    def report(self, step: int, epoch: float | None, tokens: int, memory: Mapping[str, float]) -> dict[str, float]:
        """Print a progress event, update progress.json, and return the figures that MLflow should have too."""
        now = time.monotonic()
        done, left = step - self.start_step, self.steps - step
        pace = tokens - self._tokens, now - self._last
        figures: dict[str, float] = {"percent": round(100 * step / self.steps, 2) if self.steps else 100.0, **memory}
        if done > 0:
            figures["eta_seconds"] = round((now - self._started) / done * left, 1)
        if pace[0] > 0 and pace[1] > 0:
            figures["tokens_per_second"] = round(pace[0] / pace[1], 1)
        self._last, self._tokens = now, tokens
        self._show({"step": step, "steps": self.steps, "epoch": epoch, "tokens": tokens, **self.rates, **figures}, now)
        return figures

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
