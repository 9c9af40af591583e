"""Sends the spool to MLflow while training runs: a process of its own.

A thread would do the same with less, but importing MLflow alone costs 7 CPU seconds under the interpreter's lock, and a
hanging name server or a crash in a database driver would be the trainer's. The pipe on stdin wakes it and tells it about
the trainer: `F` asks for a last delivery, the end without `F` means that the trainer died.

    python -m runner.sender FOLDER RUN_ID RUN_SHA256      (MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME in the environment)
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from runner.delivery import Delivery
from runner.events import message
from runner.spool import Spool
from runner.storage import Paths
from runner.tracking import LoginRefused, Unreachable, client, target

FINISH = b"F"
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
LAST_TRIES = 3
GATHERING = 5.0  # seconds: a run that logs each of its short steps sends them together; a message alone costs tens of milliseconds
HERE = Path(__file__).resolve().parents[1]  # the folder that holds the package, whatever the working directory is
NICENESS = 5  # on a machine without GPU the trainer needs the cores


class Sender:
    """The trainer's end: starts the process and, at the end, waits for it no longer than told."""

    def __init__(self, paths: Paths, spool: Spool) -> None:
        uri, experiment = target(paths.lock)
        self._spool = spool
        command = [sys.executable, "-m", "runner.sender", str(paths.checkpoints), paths.lock.run_id, paths.lock.sha256]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # Its own session: SIGTERM to the trainer's process group must not cut the last delivery.
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
                "MLFLOW_TRACKING_URI": uri,
                "MLFLOW_EXPERIMENT_NAME": experiment,
            },
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        spool.bell = self._process.stdin.fileno()

    def finish(self, seconds: float) -> bool:
        """Ask for a last delivery and wait at most `seconds`; whether MLflow has everything."""
        self._spool.bell = None
        assert self._process.stdin is not None
        try:
            os.write(self._process.stdin.fileno(), FINISH)
            self._process.stdin.close()
        except OSError:
            pass  # it is gone, or too busy to read: the wait below tells
        try:
            return self._process.wait(timeout=seconds) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False


def main(argv: list[str]) -> int:
    """Deliver until the trainer ends; 0 when MLflow has everything."""
    os.nice(NICENESS)
    folder, run_id, run_sha256 = argv
    uri, experiment = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_EXPERIMENT_NAME"]
    sys.stdout = sys.stderr
    return _serve(Delivery(Path(folder), lambda: client(uri), experiment, run_id, run_sha256))


def _serve(delivery: Delivery) -> int:
    pause = FIRST_PAUSE
    tries = 0
    finishing = False
    while True:
        try:
            delivery.deliver()
            pause, delivered = FIRST_PAUSE, True
        except Unreachable as error:
            if pause == FIRST_PAUSE:
                what = "refuses the login" if isinstance(error, LoginRefused) else "is away"
                message(f"MLflow {what}, training goes on: {str(error)[:500]}")
            pause, delivered = min(pause * 2, LONGEST_PAUSE), False
        if finishing:
            tries += 1
            if delivered or tries == LAST_TRIES:
                return 0 if delivered else 1
            time.sleep(FIRST_PAUSE)
            continue
        rings = _wait(None if delivered else pause)
        if delivered and rings and FINISH not in rings:
            rings = _wait(GATHERING)
        if rings == b"":
            return 1
        finishing = FINISH in (rings or b"")


def _wait(seconds: float | None) -> bytes | None:
    """What the trainer wrote: rings, or nothing at all (b"") when it died; None when only time passed.

    After a failure the rings of new entries must not shorten the pause: a server that is away is asked once a pause.
    """
    deadline = time.monotonic() + (seconds or 0)
    while True:
        left = None if seconds is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([0], [], [], left)
        if not ready:
            return None
        rings = os.read(0, 65536)
        if seconds is None or rings == b"" or FINISH in rings:
            return rings


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
