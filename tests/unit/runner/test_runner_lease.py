"""The lease on a run's folder: one holder, known to the others, replaced once its heart has stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner import lease
from runner.exits import Retry, RunnerError
from runner.stall import WATCH

# Holds the lease as on a node with another kernel until it is told to end; says `held`, or why not.
HOLDER = """
import sys, time
from pathlib import Path
from runner import lease
lease.BEAT, lease.PATIENCE, lease.POLL = 0.1, 2.0, 0.1
lease._BOOT = Path(sys.argv[2])
def lost(failure):
    print('lost:', failure, flush=True)
    import os; os._exit(75)
try:
    with lease.held(Path(sys.argv[1]), lost):
        print('held', flush=True)
        sys.stdin.readline()
except lease.Retry as error:
    print('refused:', error, flush=True)
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hearts beat fifty times faster here."""
    for name, value in (("BEAT", 0.1), ("PATIENCE", 2.0), ("POLL", 0.1)):
        monkeypatch.setattr(lease, name, value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder."""
    made = tmp_path / "run"
    made.mkdir()
    return made


def holder(folder: Path, node: str) -> subprocess.Popen[str]:
    """A process that takes the lease, on a node of that name."""
    boot = folder.with_name(f"boot-{node}")
    boot.write_text(node, encoding="ascii")
    command = [sys.executable, "-c", HOLDER, str(folder), str(boot)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def says(process: subprocess.Popen[str]) -> str:
    """Its next line that is no event."""
    assert process.stdout is not None
    return next(line for line in process.stdout if not line.startswith("{"))


def never(failure: RunnerError) -> None:
    """Losing the lease is not expected."""
    raise AssertionError(failure)


def test_a_second_process_is_refused_and_told_who_holds_it(folder: Path) -> None:
    """Exit 75 with the holder's name, while the first one's heart beats."""
    first = holder(folder, "a")
    assert says(first) == "held\n"
    with pytest.raises(Retry, match=f"process {first.pid} works on this run"):
        lease.Lease(folder).take()
    first.communicate("\n")


def test_a_holder_that_died_on_another_node_is_replaced(folder: Path) -> None:
    """Its file does not change for a while of our own clock, whatever time it says or was written at."""
    first = holder(folder, "a")
    assert says(first) == "held\n"
    first.kill()
    first.communicate()
    file = folder / "lease-1.json"
    os.utime(file, (4_000_000_000, 4_000_000_000))  # its node's clock was years ahead
    with lease.held(folder, never) as held:
        assert [path.name for path in folder.glob("lease-*")] == ["lease-2.json"]
        held.beat()


def test_a_holder_that_ended_in_order_is_replaced_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves word, so that a drained pod's successor need not watch."""
    first = holder(folder, "a")
    assert says(first) == "held\n"
    first.communicate("\n")
    monkeypatch.setattr(lease, "PATIENCE", 10**6)
    with lease.held(folder, never):
        pass


def test_a_holder_that_died_on_this_kernel_is_replaced_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks has got the folder's lock, which the kernel took from the dead one."""
    dead = lease.Lease(folder)
    dead.take()
    monkeypatch.setattr(lease, "PATIENCE", 10**6)
    lease.Lease(folder).take()
    with pytest.raises(lease.Lost):
        dead.beat()


def test_of_many_that_wait_for_a_dead_one_a_single_one_gets_it(folder: Path) -> None:
    """Creating the file of the next number succeeds once."""
    first = holder(folder, "a")
    assert says(first) == "held\n"
    first.kill()
    first.communicate()
    others = [holder(folder, f"b{number}") for number in range(5)]
    heard = [says(other).split(":")[0].strip() for other in others]
    for other in others:
        other.communicate("\n")
    assert sorted(heard) == ["held", *["refused"] * 4]


def test_a_holder_that_slept_too_long_learns_that_it_lost(folder: Path) -> None:
    """A paused machine wakes up, finds a higher number and ends; it does not write over the new holder's word."""
    first = holder(folder, "a")
    assert says(first) == "held\n"
    first.send_signal(signal.SIGSTOP)
    with lease.held(folder, never) as held:
        first.send_signal(signal.SIGCONT)
        assert says(first).startswith("lost: ")
        assert first.wait() == 75
        held.confirm()


def test_the_heart_tells_how_far_the_run_is(folder: Path) -> None:
    """Other programs read the seconds since the last step there, and need no clock for it."""
    WATCH.beat("step", 7)
    with lease.held(folder, never) as held:
        held.beat()
        content = json.loads((folder / "lease-1.json").read_text(encoding="utf-8"))
        assert (content["doing"], content["step"], content["released"]) == ("step", 7, False)
        assert content["seconds_since_step"] >= 0


def test_an_empty_lease_of_a_process_killed_at_birth_is_taken_over(folder: Path) -> None:
    """It was created and never written."""
    (folder / "lease-3.json").touch()
    began = time.monotonic()
    lease.Lease(folder).take()
    assert time.monotonic() - began >= lease.PATIENCE
    assert [path.name for path in folder.glob("lease-*")] == ["lease-4.json"]
