"""Runs of several ranks, as far as no rank trains: which pod is which, and which failure counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.exits import BadSpec, Diverged, OutOfMemory, Retry, RunnerError, Stopped
from runner.ranks import notes, world
from runner.ranks.notes import PeerLost
from runner.signals import Sigterm, Termination
from tests.runs import make_lock, make_storage

LOST = PeerLost("another rank ended", "wait")
MEMORY = OutOfMemory("out of memory: 9 GiB", "take less", code="out-of-memory", peak_bytes=9)
STOPPED = Stopped("stopped by SIGTERM", "start it again")


@pytest.mark.parametrize(
    ("noted", "codes", "cause", "exit_code"),
    [
        ({0: LOST, 1: MEMORY}, {0: 75}, "out of memory", 4),
        ({0: STOPPED, 1: STOPPED}, {1: 75}, "stopped by SIGTERM", 75),
        ({0: STOPPED, 1: MEMORY}, {0: 75, 1: 4}, "out of memory", 4),
        ({0: LOST}, {1: -9}, "rank 1 was killed by SIGKILL", 75),
        ({0: LOST}, {0: 75}, "another rank ended", 75),
        ({}, {0: -11}, "rank 0 was killed by SIGSEGV", 75),
        ({}, {1: 1}, "rank 1 ended with exit code 1 and no reason", 1),
        ({0: LOST}, {1: 75}, "rank 1 stood still", 75),
        ({0: Retry("the storage failed", "mend it"), 1: Diverged("the loss is nan", "lower it")}, {0: 75}, "nan", 6),
    ],
)
def test_one_of_all_failures_counts(
    tmp_path: Path, noted: dict[int, RunnerError], codes: dict[int, int], cause: str, exit_code: int
) -> None:
    """A rank's own reason goes before a killed rank, and that before the loss of a peer; what comes again goes first."""
    for rank, failure in noted.items():
        notes.write(tmp_path, rank, failure, owner=True)
    found = notes.decisive(notes.read(tmp_path), codes)
    assert cause in found.failure.cause
    assert found.failure.exit_code == exit_code


def test_a_note_keeps_the_whole_failure(tmp_path: Path) -> None:
    """Class, words, code and figures are those that the rank had."""
    notes.write(tmp_path, 3, MEMORY, owner=False)
    found = notes.read(tmp_path)[3]
    assert type(found.failure) is OutOfMemory
    assert (found.failure.args, found.failure.code, found.failure.details) == (MEMORY.args, MEMORY.code, MEMORY.details)
    assert not found.owner


def test_the_end_of_a_peer_is_told_from_faults_of_ones_own() -> None:
    """Gloo's and NCCL's words for a connection that ended are worth a retry, other errors are not."""
    gloo = RuntimeError(
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.7]:28211"
    )
    nccl = RuntimeError("NCCL error: remote process exited or there was a network error, NCCL version 2.27.5")
    assert notes.lost(gloo) is not None
    assert notes.lost(nccl) is not None
    assert notes.lost(RuntimeError("The size of tensor a (4) must match the size of tensor b (8)")) is None


def test_each_pod_knows_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The completion index is the node's rank; a process for each GPU; all meet at node 0."""
    lock = make_lock(make_storage(tmp_path), resources={"gpus": 4, "nodes": 2})
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    monkeypatch.setenv("GANG_ADDRESS", "exp-a1-node-0-0.exp-a1")
    assert world.here(lock) == world.World(2, 4, 1, "exp-a1-node-0-0.exp-a1", 29500)


@pytest.mark.parametrize("index", ["", "2", "one"])
def test_a_pod_without_a_place_is_a_bad_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: str) -> None:
    """A run on several nodes that nobody placed says so at once, and does not train alone."""
    lock = make_lock(make_storage(tmp_path), resources={"gpus": 0, "nodes": 2})
    monkeypatch.setenv("JOB_COMPLETION_INDEX", index)
    monkeypatch.setenv("GANG_ADDRESS", "host")
    with pytest.raises(BadSpec, match="allowed: 0 to 1"):
        world.here(lock)


def test_a_signal_that_another_rank_told_of_is_no_second_one() -> None:
    """Only a further one ends the process before the checkpoint is written."""
    sigterm = Sigterm()
    sigterm.patient = True
    sigterm.hear()
    assert sigterm.received
    sigterm._handle(15, None)
    with pytest.raises(Termination):
        sigterm._handle(15, None)
