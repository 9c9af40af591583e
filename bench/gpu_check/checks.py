"""What is not a speed: a stopped run goes on, its result merges, and auto learns what as-written learns."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.gpu_check.repository import Place
from bench.gpu_check.settings import PUBLISHED, Setting
from bench.gpu_check.training import RETRY, train
from bench.measure import BenchError
from bench.options import PROGRAMS, ROOT
from runner import completion
from runner.storage import Paths
from tools.expand.yamltext import dump
from tools.formats.lock import Lock

LEARNT = "customer-topics"
HELD_OUT = ROOT / "demo" / "data" / "customer-topics-held-out.json"
SAME = 0.1  # nats a label token: two orders of the same rows differ as much


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, whether it held, and the figures."""

    what: str
    held: bool
    figures: str


def resume(place: Place, lock: Lock, steps: int) -> Check:
    """Stop the run in its middle and start it again: one run, all steps, nothing twice."""
    stopped = train(place, lock, stop_after=max(1, steps // 2))
    resumed = train(place, lock)
    done = completion.check(Paths(place.storage, lock)).completion
    seen = [event["step"] for event in resumed.named("resume") + resumed.named("start") if "step" in event]
    held = (stopped.code, resumed.code) == (RETRY, 0) and done is not None and done.steps_done == steps
    went_on = f"from step {seen[-1]}" if seen else "from its beginning"
    return Check("resume after SIGTERM", held, f"exit codes {stopped.code} and {resumed.code}; {went_on} of {steps}")


def merge(place: Place, lock: Lock) -> Check:
    """Merge a finished run's adapter and certify the result: base with adapter and merged model answer alike."""
    started = time.monotonic()
    ended = train(place, lock, command="certify")
    return Check(
        "merge and certificate", ended.code == 0, f"{time.monotonic() - started:.0f} s, exit code {ended.code}"
    )


def learning(place: Place, model: str) -> Check:
    """The demo's data with a real pre-trained model, as written and under auto; the loss on rows that neither has seen."""
    losses, seconds = [], []
    for way in ("as-written", "auto"):
        setting = Setting(way, {**PUBLISHED, "num_train_epochs": 1, "learning_rate": 1.0e-3}, performance=way)
        lock = place.plan(f"learns-{way}", model, setting, dataset=LEARNT, logging_steps=5).lock
        ended = train(place, lock)
        if ended.code != 0:
            return Check("equality of learning", held=False, figures=f"{way}: {ended.why}")
        first, *_, last = ended.named("progress")
        seconds.append(last["time"] - first["time"])
        losses.append(_held_out(place, lock))
    written, auto = losses
    figures = (
        f"held-out loss {written:.4f} as written, {auto:.4f} auto; auto {seconds[0] / seconds[1]:.1f} times as fast"
    )
    return Check("equality of learning", abs(auto - written) <= SAME, figures)


def _held_out(place: Place, lock: Lock) -> float:
    file = place.root / "held-out.yaml"
    file.write_text(dump(lock.model_dump(mode="json")), encoding="utf-8")
    command = [
        sys.executable,
        PROGRAMS / "held_out_loss.py",
        file,
        place.storage,
        HELD_OUT,
        Paths(place.storage, lock).adapter,
    ]
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"held_out_loss.py: {done.stderr[-1000:]}")
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found[0]


def for_model(place: Place, lock: Lock, steps: int) -> Iterator[Check]:
    """What every model is put through."""
    yield resume(place, lock, steps)
    yield merge(place, lock)


def demo_rows() -> Path:
    """What the demo's model learns."""
    return ROOT / "demo" / "data" / "customer-topics.json"
