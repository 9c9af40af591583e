"""A storage that fails under a checkpoint: full, read-only, EIO, ESTALE; said, waited for, survived."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner import checkpoints
from runner.budget import Budget
from runner.exits import Retry, Stopped
from runner.saving import Keeper
from runner.signals import Sigterm
from runner.spool import NAME, Outbox, Spool
from runner.storage import Paths
from tests.faults.mounts import Faulty, Tmpfs, faulty, tmpfs
from tests.runs import make_paths

MIB = 2**20


class Run:
    """A run on some storage, with a checkpoint of MIB bytes every second step."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        paths.checkpoints.mkdir(parents=True)
        checkpoints.prepare(paths.checkpoints)
        self.spool = Spool(paths.checkpoints)
        self.sigterm = Sigterm()
        self.writes = 0
        self.meanwhile: Callable[[int], None] = lambda _: None
        budget = Budget(paths.checkpoints, 1, 3600)
        self.keeper = Keeper(paths, self.spool, budget, self.sigterm, lambda: None)

    def save(self, step: int, size: int = MIB) -> None:
        """As the trainer does: log, write the files, and tell the keeper."""
        self.spool.append("metrics", step=step, values={"loss": 1.0})
        folder = self.paths.writing / f"checkpoint-{step}"

        def write() -> None:
            self.writes += 1
            self.meanwhile(self.writes)
            folder.mkdir(exist_ok=True)
            (folder / "adapter_model.safetensors").write_bytes(bytes(size))
            (folder / "trainer_state.json").write_text(json.dumps({"best_model_checkpoint": None}), encoding="utf-8")

        self.keeper.save(write, folder.name)

    @property
    def kept(self) -> list[str]:
        """Names of the checkpoints in their place."""
        return sorted(path.name for path in checkpoints.all_in(self.paths.checkpoints))

    def resumes_from(self) -> str | None:
        """Name of the checkpoint that the next pod takes, every byte of it compared."""
        found = checkpoints.newest(self.paths.checkpoints, self.paths.lock.sha256)
        return found.name if found else None


def run_on(folder: Path, root: Path, **settings: Any) -> Run:
    """A run whose output lies on a mount of its own, as in a pod."""
    paths = make_paths(root, settings=settings)
    (paths.storage / "output").symlink_to(folder)
    return Run(paths)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit at once, unless a test says otherwise."""
    monkeypatch.setenv("RUNNER_STORAGE_WAIT_SECONDS", "0")


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Faulty]:
    """A storage that fails on command."""
    with faulty(tmp_path / "faulty") as storage:
        yield storage


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Tmpfs]:
    """A storage of 8 MiB."""
    with tmpfs(tmp_path / "small", 8) as storage:
        yield storage


@pytest.mark.parametrize(
    ("error", "operations", "words"),
    [
        ("EIO", "write", "Input/output error"),
        ("ESTALE", "write", "Stale file handle"),
        ("EIO", "fsync", "Input/output error"),
        ("ESTALE", "fsync", "Stale file handle"),
        ("EDQUOT", "create", "Disk quota exceeded"),
        ("EIO", "rename,rename2", "Input/output error"),
    ],
)
def test_a_failing_storage_is_said_and_the_last_checkpoint_kept(
    tmp_path: Path, broken: Faulty, error: str, operations: str, words: str
) -> None:
    """Exit 75 with what failed and what is kept; nothing of the failed one is visible, and the next pod resumes."""
    run = run_on(broken.folder, tmp_path)
    run.save(2)
    broken.fails(error, operations, "writing/checkpoint-4")
    with pytest.raises(Retry, match=f"{words}.*; checkpoint-2 is kept"):
        run.save(4)
    broken.works()
    assert run.kept == ["checkpoint-2"]
    assert run.resumes_from() == "checkpoint-2"


def test_a_storage_that_comes_back_in_time_costs_nothing_but_time(
    tmp_path: Path, broken: Faulty, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint is written again from the start, by the same process."""
    monkeypatch.setenv("RUNNER_STORAGE_WAIT_SECONDS", "60")
    run = run_on(broken.folder, tmp_path)
    run.meanwhile = lambda writes: broken.works() if writes == 2 else None
    broken.fails("EIO", "fsync", "writing/checkpoint-2")
    run.save(2)
    assert (run.writes, run.resumes_from()) == (2, "checkpoint-2")
    assert "there is no checkpoint yet, trying again in 1 s" in capsys.readouterr().out


def test_waiting_ends_with_sigterm(tmp_path: Path, broken: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drained node does not wait for the storage; the checkpoint before is the word."""
    monkeypatch.setenv("RUNNER_STORAGE_WAIT_SECONDS", "600")
    run = run_on(broken.folder, tmp_path)
    run.save(2)
    broken.fails("ESTALE", "write", "writing/checkpoint-4")
    run.meanwhile = lambda writes: setattr(run.sigterm, "received", writes == 3)
    with pytest.raises(Stopped, match="the last checkpoint is checkpoint-2"):
        run.save(4)


def test_what_is_no_fault_of_the_storage_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the trainer goes its own way at once."""
    monkeypatch.setenv("RUNNER_STORAGE_WAIT_SECONDS", "600")
    run = Run(make_paths(tmp_path))

    def fail(_: int) -> None:
        raise ValueError("no such layer")

    run.meanwhile = fail
    with pytest.raises(ValueError, match="no such layer"):
        run.save(2)


def test_a_full_storage_gives_up_old_checkpoints_for_a_new_one(
    tmp_path: Path, small: Tmpfs, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four are kept as long as they fit; then the older ones go, the newest stays until the new one is whole."""
    run = run_on(small.folder, tmp_path, save_total_limit=4)
    for step in (2, 4, 6):
        run.save(step, size=2 * MIB)
    run.save(8, size=3 * MIB)
    assert run.kept == ["checkpoint-6", "checkpoint-8"]
    assert run.resumes_from() == "checkpoint-8"
    assert "no space left for checkpoint-8: removed checkpoint-2, checkpoint-4; checkpoint-6 is kept" in (
        capsys.readouterr().out
    )


def test_a_storage_too_small_for_one_more_ends_with_75(tmp_path: Path, small: Tmpfs) -> None:
    """The last whole checkpoint is never given up; the cause is a full disk."""
    run = run_on(small.folder, tmp_path)
    run.save(2, size=3 * MIB)
    with pytest.raises(Retry, match="checkpoint-2 is kept") as caught:
        run.save(4, size=6 * MIB)
    assert caught.value.code == "disk-full"
    assert run.kept == ["checkpoint-2"]
    assert run.resumes_from() == "checkpoint-2"


def test_a_storage_that_became_read_only_ends_with_75(tmp_path: Path, small: Tmpfs) -> None:
    """And works again once it is remounted. The spool is closed before, since a person's remount is refused while it is open."""
    run = run_on(small.folder, tmp_path)
    run.save(2)
    os.dup2(os.open(run.paths.checkpoints / NAME, os.O_RDONLY), run.spool._descriptor)
    small.read_only()
    with pytest.raises(Retry, match=r"Read-only file system.*; checkpoint-2 is kept"):
        run.save(4)
    small.writable()
    run.keeper.spool = run.spool = Spool(run.paths.checkpoints)
    run.save(4)
    assert run.resumes_from() == "checkpoint-4"


def test_no_checkpoint_outruns_its_metrics(tmp_path: Path, broken: Faulty) -> None:
    """Entries that the storage did not take wait in memory, and no checkpoint is kept before they are on the disk."""
    run = run_on(broken.folder, tmp_path)
    broken.fails("EIO", "write", NAME)
    with pytest.raises(Retry, match="there is no checkpoint yet"):
        run.save(2)
    assert run.kept == []
    broken.works()
    run.save(4)
    assert [entry["step"] for entry, _ in Outbox(run.paths.checkpoints).entries()] == [2, 4]
    assert run.kept == ["checkpoint-4"]
