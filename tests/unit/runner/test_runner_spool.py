"""The spool file between training and MLflow."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runner.spool import NAME, OFFSET, Outbox, Spool


def steps(outbox: Outbox) -> list[int]:
    """Steps of the entries that MLflow has not taken."""
    return [entry["step"] for entry, _ in outbox.entries()]


def write(folder: Path, *numbers: int) -> None:
    """Spool one metrics entry a number, as one process does."""
    spool = Spool(folder)
    for number in numbers:
        spool.append("metrics", step=number, values={"loss": 1.0})
    spool.close()


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    """First in, first out, over two processes."""
    write(tmp_path, 1, 2)
    write(tmp_path, 3)
    assert steps(Outbox(tmp_path)) == [1, 2, 3]


def test_what_was_acknowledged_is_not_sent_again(tmp_path: Path) -> None:
    """The offset survives the process that noted it."""
    write(tmp_path, 1, 2, 3)
    outbox = Outbox(tmp_path)
    outbox.acknowledge(list(outbox.entries())[1][1])
    assert steps(Outbox(tmp_path)) == [3]


@pytest.mark.parametrize("offset", ["", "x", "-1", "999999"])
def test_a_damaged_offset_means_all_again(tmp_path: Path, offset: str) -> None:
    """Sending twice is harmless; losing rows is not."""
    write(tmp_path, 1, 2)
    (tmp_path / OFFSET).write_text(offset, encoding="ascii")
    assert steps(Outbox(tmp_path)) == [1, 2]


def test_a_line_cut_by_a_kill_is_dropped(tmp_path: Path) -> None:
    """The half entry goes, those before and after it stay whole."""
    write(tmp_path, 1)
    with (tmp_path / NAME).open("ab") as stream:
        stream.write(b'{"kind": "metr')
    assert steps(Outbox(tmp_path)) == [1]
    write(tmp_path, 2)
    assert steps(Outbox(tmp_path)) == [1, 2]


def test_not_a_number_survives_the_file(tmp_path: Path) -> None:
    """A diverged loss is a result too."""
    spool = Spool(tmp_path)
    spool.append("metrics", step=1, values={"loss": float("nan")})
    spool.close()
    entry, _ = next(Outbox(tmp_path).entries())
    assert entry["values"]["loss"] != entry["values"]["loss"]


def test_a_sender_that_died_does_not_disturb_the_writer(tmp_path: Path) -> None:
    """Ringing at a closed pipe is ignored once and for all."""
    reading, writing = os.pipe()
    os.close(reading)
    spool = Spool(tmp_path)
    spool.bell = writing
    spool.append("metrics", step=1, values={})
    assert spool.bell is None
    os.close(writing)


def fill(pipe: int) -> None:
    """Write into a pipe until it takes no more."""
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"\n" * 4096)


def test_a_full_pipe_does_not_block_the_writer(tmp_path: Path) -> None:
    """A sender that sleeps through its pause lets the pipe fill."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    spool = Spool(tmp_path)
    spool.bell = writing
    fill(writing)
    spool.append("metrics", step=1, values={})
    assert spool.bell == writing
    os.close(reading)
    os.close(writing)


@contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 200 bytes: what a full quota looks like to a writer (pytest's own report file included)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_neither_training_nor_spool(tmp_path: Path) -> None:
    """Appending never raises; what did not fit waits in memory and follows, whole and in order, when there is room."""
    spool = Spool(tmp_path)
    with small_files():
        for number in range(20):
            spool.append("metrics", step=number, values={"loss": 1.0})
        assert (tmp_path / NAME).stat().st_size <= 200
        assert steps(Outbox(tmp_path))[:2] == [0, 1]
        with pytest.raises(OSError, match="File too large"):
            spool.sync()
    spool.append("metrics", step=20, values={})
    assert steps(Outbox(tmp_path)) == list(range(21))


@pytest.mark.parametrize("lost", [1, 40, 100], ids=["inside-the-last", "inside-one-before", "most"])
def test_entries_that_a_lost_node_took_with_it_do_not_hide_new_ones(tmp_path: Path, lost: int) -> None:
    """The note of what MLflow has may outlive the entries themselves: all is sent again, nothing is left out."""
    write(tmp_path, *range(5))
    Outbox(tmp_path).acknowledge((tmp_path / NAME).stat().st_size)
    os.truncate(tmp_path / NAME, (tmp_path / NAME).stat().st_size - lost)
    write(tmp_path, *range(10, 15))
    assert steps(Outbox(tmp_path))[-5:] == list(range(10, 15))
    assert steps(Outbox(tmp_path))[0] == 0


def test_entries_of_a_killed_writer_are_there(tmp_path: Path) -> None:
    """Each entry is handed to the kernel at once, so kill -9 loses none."""
    code = (
        "import os, sys; from pathlib import Path; from runner.spool import Spool\n"
        "s = Spool(Path(sys.argv[1]))\n"
        "[s.append('metrics', step=n, values={}) for n in range(5)]\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    assert steps(Outbox(tmp_path)) == [0, 1, 2, 3, 4]
