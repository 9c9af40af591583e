"""The probe for real: ways tried on the model in a process that may die or run out of memory, the choice kept, a step down after it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner import completion, tokenised
from runner.probe import choice
from runner.probe.choice import Choice
from runner.probe.decide import decide
from runner.probe.ways import ACCUMULATION, BATCH, RECOMPUTATION, Way
from runner.spool import Spool
from runner.storage import Paths
from tests.runs import ROWS, make_paths, make_storage, write_lock
from tools.formats.lock import LockedPerformance, LockedProbe

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("llamafactory") is None, reason="needs the runner's environment"),
]
GIB = 2**30
TOO_MANY = 4096  # rows: more memory in one pass than the limit below leaves
LIMIT = 3 * GIB


def probed(root: Path, batches: list[int], kept: list[bool], settings: dict[str, Any]) -> Paths:
    """A run of the tiny model that may choose among such ways."""
    range_ = LockedProbe(seconds=500, per_device_train_batch_size=batches, disable_gradient_checkpointing=kept)
    performance = LockedPerformance(as_written={}, expected_gain=1.0, reasons=[], probe=range_)
    paths = make_paths(root, settings=settings, performance=performance)
    paths.checkpoints.mkdir(parents=True)
    return paths


def crowded(root: Path) -> Paths:
    """A run whose larger micro-batch cannot fit into the limit, with as many rows."""
    rows = json.loads(ROWS.read_text())
    data = make_storage(root / "storage") / "data" / "training-datasets" / ROWS.name
    data.write_text(json.dumps(rows * (TOO_MANY // len(rows))))
    settings = {BATCH: 2, ACCUMULATION: TOO_MANY // 2, RECOMPUTATION: True, "cutoff_len": 256}
    return probed(root, [2, TOO_MANY], [True], settings)


@contextmanager
def little_memory() -> Iterator[None]:
    """What starts meanwhile may have 3 GiB of data: an allocation beyond it fails, as on a full GPU."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def start(paths: Paths, root: Path) -> subprocess.Popen[str]:
    """`python -m runner train`."""
    lock = write_lock(paths.lock, root / "run.yaml")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db"}
    command = [sys.executable, "-m", "runner", "train", "--lock", str(lock), "--storage", str(paths.storage)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)


def events(output: str) -> list[dict[str, Any]]:
    """The runner's lines."""
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"event"')]


def test_killed_while_trying_then_chosen_within_the_memory(tmp_path: Path) -> None:
    """SIGKILL leaves no choice and no process; the next start tries, survives what runs out of memory, and keeps what fits."""
    paths = crowded(tmp_path)
    process = start(paths, tmp_path)
    notes = paths.checkpoints / choice.TRIALS
    end = time.monotonic() + 120
    while not notes.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    assert notes.exists()
    (child,) = [each for each in psutil.Process(process.pid).children() if "runner.probe.trials" in each.cmdline()]
    process.kill()
    process.communicate()
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running()
    assert not (paths.checkpoints / choice.NAME).exists()

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    spool = Spool(paths.checkpoints)
    with little_memory():
        decide(paths, scratch, spool)
    found = choice.stored(paths)
    assert found is not None
    outcomes = {trial.way: trial.outcome for trial in found.trials}
    assert outcomes[Way(TOO_MANY, kept=True)] in ("out of memory", "died")
    assert outcomes[Way(2, kept=True)] == "fits"
    assert found.way == Way(2, kept=True)
    assert choice.settings(paths)[ACCUMULATION] * choice.settings(paths)[BATCH] == TOO_MANY
    before = (paths.checkpoints / choice.NAME).read_bytes()
    decide(paths, scratch, spool)  # a second start asks nobody
    assert (paths.checkpoints / choice.NAME).read_bytes() == before


def test_out_of_memory_while_training_steps_down_and_goes_on(tmp_path: Path) -> None:
    """The run ends with 75 instead of 4, and the next start trains a smaller way, with as many rows a step."""
    paths = crowded(tmp_path)
    large = Way(TOO_MANY, kept=True)
    record(paths, large).write(paths.checkpoints / choice.NAME)
    with little_memory():
        process = start(paths, tmp_path)
    output, _ = process.communicate()
    assert process.returncode == 75, output[-2000:]
    (failure,) = [event for event in events(output) if event["event"] == "failure"]
    assert "micro-batch 2 without recomputation is tried" in failure["cause"]
    assert choice.settings(paths) == {BATCH: 2, ACCUMULATION: TOO_MANY // 2, RECOMPUTATION: True}


def test_the_choice_is_what_trains(tmp_path: Path) -> None:
    """A start that finds a choice tries nothing and trains with it: the same steps over the same rows."""
    paths = probed(tmp_path, [1, 2, 4], [False, True], {BATCH: 4, "max_steps": 4})
    record(paths, Way(2, kept=True)).write(paths.checkpoints / choice.NAME)
    process = start(paths, tmp_path)
    output, _ = process.communicate()
    assert process.returncode == 0, output[-2000:]
    assert not (paths.checkpoints / choice.TRIALS).exists()
    (kept,) = [event for event in events(output) if event["event"] == "tokenised"]
    assert not kept["found"]
    assert tokenised._verified(paths) == Path(kept["path"]) / tokenised.ROWS
    (told,) = [event for event in events(output) if event["event"] == "probe"]
    assert told["settings"] == {BATCH: 2, ACCUMULATION: 2, RECOMPUTATION: True}
    state = json.loads((paths.checkpoints / "checkpoint-4" / "trainer_state.json").read_text())
    assert state["train_batch_size"] == 2
    proof = completion.check(paths).completion
    assert proof is not None
    assert proof.steps_done == 4


def record(paths: Paths, way: Way) -> Choice:
    """A choice as an earlier start wrote it."""
    return Choice(run_sha256=paths.lock.sha256, batch=way.batch, kept=way.kept, why="x", taken=1.0, trials=[])
