"""Checkpoints: whole or not there, whenever the process is killed; the damaged one skipped; the old ones removed by step."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from runner import checkpoints
from runner.hashing import faults
from runner.records import read

SHA = "a" * 64
KILLS = 20


def written(folder: Path, step: int, size: int = 2000) -> Path:
    """A checkpoint as the trainer leaves it where it writes."""
    place = folder / checkpoints.WRITING / f"checkpoint-{step}"
    place.mkdir(parents=True)
    for name in ("adapter_model.safetensors", "optimizer.pt", "trainer_state.json"):
        (place / name).write_bytes(f"{step}".encode() * size)
    return place


def kept(folder: Path, *steps: int) -> list[Path]:
    """Checkpoints in their place."""
    return [checkpoints.keep(written(folder, step), folder, SHA) for step in steps]


def whole(checkpoint: Path) -> bool:
    """Whether every file is as the manifest says."""
    return not faults(checkpoint, read(checkpoints.Manifest, checkpoint / checkpoints.MANIFEST).files)


def keep_on(folder: Path, told: int) -> None:
    """In a process of its own: one checkpoint after the other, two kept; each is told to `told` when it is there."""
    step = max((int(path.name.split("-")[1]) for path in checkpoints.all_in(folder)), default=0)
    checkpoints.prepare(folder)
    while True:
        step += 1
        checkpoints.keep(written(folder, step), folder, SHA)
        os.write(told, f"{step}\n".encode())
        checkpoints.prune(folder, 2)


def killed(share: float, folder: Path) -> list[int]:
    """Fork, let it keep one checkpoint, kill -9 it at that share of the next one's time; the steps that it told of."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            keep_on(folder, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as stream:
        began = time.monotonic()
        first = stream.readline()
        time.sleep(share * (time.monotonic() - began))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [int(line) for line in (first, *stream)]


def test_a_kill_at_any_moment_leaves_only_whole_checkpoints(tmp_path: Path) -> None:
    """Twenty kills: while files are written, hashed, renamed, removed. What was told of is never lost, nothing half is seen."""
    moments = random.Random(6)
    newest = 0
    for _ in range(KILLS):
        newest = max([newest, *killed(moments.uniform(0.0, 1.5), tmp_path)])
        assert all(whole(path) for path in checkpoints.all_in(tmp_path))
        found = checkpoints.newest(tmp_path, SHA)
        assert found is not None
        assert int(found.name.split("-")[1]) >= newest


def test_what_is_being_written_is_no_checkpoint(tmp_path: Path) -> None:
    """It becomes one by a rename, with its manifest inside."""
    place = written(tmp_path, 2)
    assert checkpoints.all_in(tmp_path) == []
    done = checkpoints.keep(place, tmp_path, SHA)
    assert (done, place.exists()) == (tmp_path / "checkpoint-2", False)
    assert whole(done)


def test_a_start_clears_what_a_killed_process_was_writing(tmp_path: Path) -> None:
    """Its checkpoints stay."""
    kept(tmp_path, 2)
    written(tmp_path, 4)
    checkpoints.prepare(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "writing"]
    assert not list((tmp_path / "writing").iterdir())


def flip(file: Path) -> None:
    """One bit of a file turned over."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut(file: Path) -> None:
    """A file without its last half."""
    os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink], ids=["flipped", "truncated", "missing"])
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "manifest.json"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: object, name: str
) -> None:
    """With a message that names it."""
    kept(tmp_path, 2, 4)
    assert callable(damage)
    damage(tmp_path / "checkpoint-4" / name)
    assert checkpoints.newest(tmp_path, SHA) == tmp_path / "checkpoint-2"
    assert "checkpoint-4 is " in capsys.readouterr().out
    assert [path.name for path in checkpoints.all_in(tmp_path)] == ["checkpoint-2"]


def test_old_is_what_has_the_lower_step(tmp_path: Path) -> None:
    """After a clock was set back the newest checkpoint has the oldest times; the best one stays whatever its age."""
    for age, path in enumerate(kept(tmp_path, 2, 4, 6, 8)):
        os.utime(path, (10_000 - 3600 * age,) * 2)
    assert checkpoints.prune(tmp_path, 2, best="checkpoint-2") == ["checkpoint-4"]
    assert checkpoints.prune(tmp_path, 1) == ["checkpoint-2", "checkpoint-6"]
    assert checkpoints.last(tmp_path) == "checkpoint-8"


def test_a_checkpoint_of_that_step_is_replaced(tmp_path: Path) -> None:
    """A reward model starts anew each time, over what the start before left."""
    kept(tmp_path, 2)
    checkpoints.keep(written(tmp_path, 2, size=3000), tmp_path, SHA)
    assert (tmp_path / "checkpoint-2" / "optimizer.pt").stat().st_size == 3000
    assert whole(tmp_path / "checkpoint-2")


def test_the_damaged_ones_go_when_room_is_needed(tmp_path: Path) -> None:
    """They are kept to look at, and for nothing else."""
    kept(tmp_path, 2, 4)
    flip(tmp_path / "checkpoint-4" / "optimizer.pt")
    checkpoints.newest(tmp_path, SHA)
    assert checkpoints.remove_damaged(tmp_path) == ["damaged-checkpoint-4"]
    shutil.rmtree(tmp_path / "writing")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-2"]
