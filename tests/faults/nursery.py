"""Processes of the runner that start in a moment: LLaMA Factory is imported once, and each run is a fork of that process.

A campaign of many kills would otherwise be nearly nothing but imports. Each fork is a real process, which can be killed like any
other; what it prints goes to a file. The program reads one JSON line a request from stdin, {"arguments": [...],
"environment": {...}, "log": file}, prints the process's number, and when it has ended its exit code (negative: the signal).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OFFLINE = {
    "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}  # fmt: skip


class Nursery:
    """The test's end."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **OFFLINE, **environment},
        )  # fmt: skip
        assert self._hears() == "ready"

    def start(self, arguments: list[str], log: Path, **environment: str) -> Child:
        """A process of `python -m runner` with these arguments. One at a time: wait for it before the next."""
        assert self._process.stdin is not None
        request = {"arguments": arguments, "environment": environment, "log": str(log)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Child(int(self._hears()), log, self)

    def _hears(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End it; its children have ended before."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@dataclass
class Child:
    """One process of the runner."""

    pid: int
    log: Path
    _nursery: Nursery

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; one that has just ended does not mind."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code."""
        return int(self._nursery._hears())

    @property
    def output(self) -> str:
        """All that it printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def events(self, name: str) -> list[dict[str, Any]]:
        """Its events of one kind; a line that a kill cut is none."""
        found = []
        for line in self.output.splitlines():
            if line.startswith('{"event"') and line.endswith("}"):
                event = json.loads(line)
                found += [event] if event["event"] == name else []
        return found


def main() -> None:
    """Import, then fork once a request."""
    import llamafactory.train.tuner

    from runner.__main__ import main as runner

    assert llamafactory.train.tuner is not None
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            output = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            for descriptor in (1, 2):
                os.dup2(output, descriptor)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.environ.update(request["environment"])
            os._exit(runner(request["arguments"]))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
