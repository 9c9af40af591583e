"""Nothing that a test run starts outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.node import end_shims
from tests.e2e.processes import Programs, wait_for

pytestmark = pytest.mark.e2e

_STARTER = """
import signal, sys, time
from pathlib import Path
from tests.e2e.processes import Programs
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
with Programs(Path(sys.argv[1])) as programs:
    print(programs.start("sleep", ["sleep", "600"]).pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_programs_end_with_the_process_that_started_them(number: signal.Signals, tmp_path: Path) -> None:
    """However the test run is ended, its programs end too."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", _STARTER, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        os.kill(pid, 0)
        starter.send_signal(number)
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or _zombie(pid), "the end of the program", 10)


def _zombie(pid: int) -> bool:
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_killed_program_starts_again(tmp_path: Path) -> None:
    """A program that was killed, as a lost machine would be, can be started again and is stopped with the others."""
    with Programs(tmp_path) as programs:
        program = programs.start("sleep", ["sleep", "600"])
        program.kill()
        assert not program.alive
        program.start()
        assert program.alive
    assert not program.alive


def test_a_forgotten_shim_ends_with_its_containers(tmp_path: Path) -> None:
    """By the socket of the containerd that started it: another's stays."""
    shim = tmp_path / "containerd-shim-runc-v2"
    shim.write_text("#!/bin/sh\nsleep 600\nexit 0\n")
    shim.chmod(0o755)
    started = [
        subprocess.Popen(["/bin/sh", shim, "-address", tmp_path / name], start_new_session=True)
        for name in ("ours", "another")
    ]
    ours, another = started
    try:
        os.kill(ours.pid, 0)
        end_shims(tmp_path / "ours")
        assert ours.wait(10) == -signal.SIGKILL
        assert another.poll() is None
    finally:
        for each in started:
            with suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGKILL)
            each.wait()
