"""A run that hangs is reported, and ended with its stacks after the limit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner import settings
from runner.exits import BadSpec
from runner.stall import LONG, Watch
from tests.faults.mounts import faulty

# Watches itself with a limit of one second a step, and then does what the second argument says.
PROGRAM = """
import ctypes, sys, threading, time
from pathlib import Path
from runner import failures, lastwords, stall
from runner.stall import WATCH, leave
stall.POLL, stall.LAST_WORDS = 0.5, 1.0
folder = Path(sys.argv[1])
def end(failure):
    leave(failure, lambda: failures.report(failure, failure, folder))
def hang_in_python():
    threading.Event().wait()
def hang_on_the_mount():
    (folder / 'writing.txt').write_text('x')
def hang_with_the_lock():
    time.sleep(0.5)  # the watch has looked since the last step
    ctypes.PyDLL(None).sleep(600)
with WATCH.guarding(1.0, end, lambda failure: lastwords.command(failure, folder)):
    WATCH.beat('step', 3)
    globals()[sys.argv[2]]()
"""


def hanging(folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command = [sys.executable, "-c", PROGRAM, str(folder), how]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def test_a_hung_step_is_reported_and_ended_with_its_stacks(tmp_path: Path) -> None:
    """First an event, then exit 75, the stacks on stderr and the cause beside the checkpoints."""
    ended = hanging(tmp_path, "hang_in_python")
    assert ended.returncode == 75
    first, *_, failure = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (first["event"], first["doing"], first["step"]) == ("stall", "step", 3)
    assert (failure["event"], failure["code"]) == ("failure", "stalled")
    assert "hang_in_python" in ended.stderr
    assert "after step 3" in json.loads((tmp_path / "failure.json").read_text(encoding="utf-8"))["cause"]


def test_a_hung_mount_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """failure.json cannot be written there, and that is not waited for."""
    with faulty(tmp_path) as storage:
        storage.hangs()
        ended = hanging(storage.folder, "hang_on_the_mount")
    assert ended.returncode == 75
    assert "hang_on_the_mount" in ended.stderr
    assert "nothing has happened for" in ended.stderr


def test_native_code_that_keeps_pythons_lock_is_ended_too(tmp_path: Path) -> None:
    """No Python thread runs then: stacks, event, failure.json and exit 75 come all the same."""
    ended = hanging(tmp_path, "hang_with_the_lock")
    assert ended.returncode == 75
    assert "hang_with_the_lock" in ended.stderr
    *_, failure = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (failure["event"], failure["code"], failure["exit_code"]) == ("failure", "stalled", 75)
    assert "after step 3" in json.loads((tmp_path / "failure.json").read_text(encoding="utf-8"))["cause"]


def test_the_rescue_ends_with_the_watch(tmp_path: Path) -> None:
    """A process that outlives what was watched, and keeps Python's lock then, is let be."""
    program = PROGRAM.replace("WATCH.beat('step', 3)", "pass").replace("    globals()", "globals()")
    program = program.replace("sleep(600)", "sleep(7)")
    assert "    globals" not in program
    command = [sys.executable, "-c", program, str(tmp_path), "hang_with_the_lock"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_what_moves_whole_models_may_take_longer() -> None:
    """Start-up, a checkpoint and the result; a step, an evaluation's batch and waiting for the storage may not."""
    watch = Watch()
    limits = {}
    for doing in ("starting", "step", "evaluation", "checkpoint", "storage", "finishing"):
        watch.beat(doing)
        limits[doing] = watch.limit(10.0)
    assert limits == {
        "starting": 10.0 * LONG, "step": 10.0, "evaluation": 10.0, "checkpoint": 10.0 * LONG, "storage": 10.0,
        "finishing": 10.0 * LONG,
    }  # fmt: skip


@pytest.mark.parametrize(("text", "value"), [("", 1800.0), ("90", 90.0)])
def test_the_environment_sets_the_limit(monkeypatch: pytest.MonkeyPatch, text: str, value: float) -> None:
    """Half an hour unless the Job says otherwise."""
    monkeypatch.setenv("RUNNER_STALL_SECONDS", text)
    assert settings.seconds(settings.STALL) == value


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_a_limit_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Exit 2, with the name of the setting."""
    monkeypatch.setenv("RUNNER_STALL_SECONDS", text)
    with pytest.raises(BadSpec, match="RUNNER_STALL_SECONDS is"):
        settings.seconds(settings.STALL)
