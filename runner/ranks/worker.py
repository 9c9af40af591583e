"""`python -m runner.ranks.worker`: one rank, started by torch's elastic agent."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from runner import failures, locks
from runner.exits import DONE, RunnerError, Stopped, TimeLimit
from runner.ranks import gang, notes
from runner.signals import Sigterm, Termination, stopped
from runner.storage import Paths

_END = "end"
_PR_SET_PDEATHSIG = 1


def main() -> NoReturn:
    """Train, leave a note about a failure, and end together with the other ranks."""
    parser = argparse.ArgumentParser(prog="runner.ranks.worker")
    for name in ("--lock", "--storage"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args()
    # A rank must not write on when nobody is there to start it again or to count it (prctl(2)).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    code = Worker(Paths(options.storage, locks.read(options.lock))).run()
    # Past the interpreter's end, where NCCL's threads wait for ranks that are gone. All files are closed or on the disk.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Worker:
    """One rank of a run."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._rank = int(os.environ["RANK"])
        self._failure: RunnerError | None = None

    def run(self) -> int:
        """Train; the exit code."""
        try:
            if self._rank == 0:
                self._lead()
            else:
                self._follow()
        except BaseException as error:  # noqa: BLE001 - each ends in an exit code and a note
            failure = stopped(None) if isinstance(error, Termination) else failures.explain(error, self._paths)
            self._tell(failure, error, self._paths.checkpoints)
        return DONE if self._failure is None else self._failure.exit_code

    def _lead(self) -> None:
        from runner import train

        own = gang.mine()
        train.run(self._paths, self._tell)
        own.tell(_END, "")

    def _follow(self) -> None:
        from runner.ranks.follower import follow

        own, sigterm = gang.mine(), Sigterm()
        with sigterm.installed():
            try:
                follow(self._paths, sigterm)
            except (Stopped, TimeLimit) as error:
                self._tell(error, error, self._paths.checkpoints)
            # The agent ends all ranks as soon as one has failed: rank 0 has to be through with what it writes.
            own.ask(_END)

    def _tell(self, failure: RunnerError, error: BaseException, folder: Path | None) -> None:
        """Leave the note in place of a report: of all ranks' failures the supervisor reports one."""
        if self._failure is not None:
            return
        if failure.exit_code == RunnerError.exit_code:
            failure = notes.lost(error) or failure
        if failure.exit_code == RunnerError.exit_code:
            print(f"rank {self._rank}:", file=sys.stderr)
            traceback.print_exception(error, file=sys.stderr)
        self._failure = failure
        notes.write(gang.shared_folder(), self._rank, failure, owner=folder is not None)


if __name__ == "__main__":
    main()
