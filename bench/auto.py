"""`performance: auto` beside the same experiment as written, on the CPU: seconds a step, and what both learned."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

from bench.measure import run
from bench.options import ROOT, RUNNER_PYTHON, Options
from bench.runner_share import environment, per_step, runner_command, train
from bench.table import Row

NAME = "performance: auto"
GOAL = 2.0  # times as fast
WAYS = ("as-written", "auto")
LINES, STEPS = 6, 50  # one epoch of 400 rows, eight a step; a line after the first step and every tenth
HELD_OUT = ROOT / "demo" / "data" / "customer-topics-held-out.json"


def rows(options: Options) -> Iterator[Row]:
    """A step of each, with the loss on rows that neither has seen."""
    run([RUNNER_PYTHON, "-m", "demo.base_model", "--storage", options.storage], cwd=ROOT)
    run([RUNNER_PYTHON, "-m", "bench.programs.auto_files", options.storage, options.work], cwd=ROOT)
    steps = {way: per_step([train(runner_command(options, way), options, LINES)], STEPS - 1) for way in WAYS}
    losses = dict(zip(WAYS, _losses(options), strict=True))
    for way in WAYS:
        remark = f"held-out loss {losses[way]:.4f}"
        if way == "auto":
            remark += f", {steps['as-written'].wall / steps[way].wall:.2f} times as fast (wall)"
        goal = steps["as-written"].cpu / GOAL if way == "auto" else None
        yield Row(NAME, f"performance: {way}", steps[way], unit="step", goal=goal, remark=remark)


def _losses(options: Options) -> list[float]:
    adapters = sorted(
        (options.work / "storage" / "output" / "lora-adapter").glob("*"), key=lambda path: path.stat().st_mtime
    )
    program = [RUNNER_PYTHON, "-m", "bench.programs.held_out_loss", options.work / "auto.yaml"]
    command = [*program, options.work / "storage", HELD_OUT, *adapters]
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=environment(options), capture_output=True, text=True, check=True
    )
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found
