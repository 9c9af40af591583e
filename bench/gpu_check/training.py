"""One planned run through `python -m runner train`, and what its events say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.gpu_check.repository import Place
from bench.options import ROOT
from tools.expand.yamltext import dump
from tools.formats.lock import Lock
from tools.plan import memory
from tools.plan.estimate import Plan
from tools.plan.hours import flops_per_token
from tools.predict.pairs import on_device

RETRY = 75
_LAST = 3000  # bytes of what a failed process said that are shown


@dataclass(frozen=True, slots=True)
class Ended:
    """A process of the runner: exit code, its events, seconds from its start to its first finished step."""

    code: int
    events: Sequence[dict[str, Any]]
    start: float | None

    def named(self, name: str) -> list[dict[str, Any]]:
        """Events of one kind."""
        return [event for event in self.events if event["event"] == name]

    @property
    def why(self) -> str:
        """The cause of a failure, by its code."""
        failures = self.named("failure")
        return str(failures[-1]["code"]) if failures else f"exit code {self.code}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; figures are None where the run failed, and `remark` says why.

    tokens: rows' own tokens a second, padding left out; step: seconds; share: of what the machine's matrix products reach;
    estimated, measured: peak bytes of the device; start: seconds to the first finished step.
    """

    model: str
    setting: str
    method: str
    estimated: float
    tokens: float | None = None
    step: float | None = None
    share: float | None = None
    measured: float | None = None
    start: float | None = None
    remark: str = ""


def line(place: Place, plan: Plan, name: str, setting: str) -> Line:
    """Train a plan's run and compare it with the plan."""
    ended = train(place, plan.lock)
    method = str(plan.lock.run.experiment["method"])
    first = Line(name, setting, method, memory.total(plan.parts), remark=_chosen(plan))
    if ended.code != 0:
        return Line(name, setting, method, first.estimated, remark=ended.why)
    pace = speed(ended.named("progress"))
    if pace is None:
        return Line(name, setting, method, first.estimated, remark="too few steps to time")
    tokens, step = pace
    share = flops_per_token(plan.work) * tokens / place.machine.flops
    measured = _peak(ended.named("progress"), on_gpu=place.machine.on_gpu)
    return Line(name, setting, method, first.estimated, tokens, step, share, measured, ended.start, first.remark)


def speed(progress: Sequence[dict[str, Any]]) -> tuple[float, float] | None:
    """Tokens a second and seconds a step, from the first line to the last; None from fewer than two.

    The first line's own time is left out: it holds what a process does once.
    """
    if len(progress) < 2:
        return None
    first, last = progress[0], progress[-1]
    seconds, steps = last["time"] - first["time"], last["step"] - first["step"]
    if seconds <= 0 or steps <= 0:
        return None
    return (last["tokens"] - first["tokens"]) / seconds, seconds / steps


def train(place: Place, lock: Lock, *, stop_after: int | None = None, command: str = "train") -> Ended:
    """Run the runner to its end. stop_after: send SIGTERM at the progress line of that step or a later one."""
    file = place.root / f"{lock.run_id}.yaml"
    file.write_text(dump(lock.model_dump(mode="json")), encoding="utf-8")
    started, said = time.time(), tempfile.TemporaryFile()  # noqa: SIM115 - read below, after the process has ended
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", command, "--lock", str(file), "--storage", str(place.storage)],
        cwd=ROOT, env=_environment(place), stdout=subprocess.PIPE, stderr=said, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    events: list[dict[str, Any]] = []
    for text in process.stdout:
        if not text.startswith('{"event"'):
            continue
        events.append(json.loads(text))
        if stop_after is not None and events[-1]["event"] == "progress" and events[-1]["step"] >= stop_after:
            process.send_signal(signal.SIGTERM)
            stop_after = None
    code = process.wait()
    if code not in (0, RETRY):
        said.seek(0)
        print(said.read()[-_LAST:].decode(errors="replace"), file=sys.stderr, flush=True)
    said.close()
    first = next((event["time"] for event in events if event["event"] == "progress"), None)
    return Ended(code, events, None if first is None else first - started)


def _peak(progress: Sequence[dict[str, Any]], *, on_gpu: bool) -> float:
    """Bytes that the device held at most: torch's count with the CUDA context, or the process's memory."""
    if on_gpu:
        return on_device(int(max(event["gpu_memory_gib"] for event in progress) * memory.GIB))
    return float(max(event["memory_gib"] for event in progress) * memory.GIB)


def _chosen(plan: Plan) -> str:
    """What auto changed, as `key: value`."""
    if plan.lock.run.performance is None:
        return ""
    return (
        ", ".join(f"{key}: {plan.lock.run.settings[key]}" for key in plan.lock.run.performance.as_written)
        or "as written"
    )


def _environment(place: Place) -> dict[str, str]:
    return {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{place.root}/mlflow.db",
        "MLFLOW_EXPERIMENT_NAME": "gpu-check",
    }
