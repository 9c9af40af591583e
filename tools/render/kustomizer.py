"""Overlays built by the program kustomizer: one process a processor, each of which builds overlay after overlay.

An overlay built alone in a process that is warm costs less than half of what it costs `kustomize build`, which starts
cold for every few overlays. Questions go out a few ahead and answers are taken in order, so that nothing piles up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pydantic_core import from_json

from tools.errors import ToolFault
from tools.render.documents import Manifest
from tools.render.gobuild import name
from tools.render.kustomize import reason

# What each process has to do while this one looks at its answers; all of it fits a pipe, so that no question waits.
_AHEAD = 8
# Garbage is collected at nine times what is in use (Go's default is twice): a fifth of the time, for 60 MB of memory.
_ENVIRONMENT = {"GOGC": "800", "GOMAXPROCS": "1"}
_REASONS = ("panic: ", "fatal error: ", "runtime: ")


@dataclass(frozen=True, slots=True)
class Objects:
    """What overlays built to: objects, or the reason why there are none."""

    overlays: Sequence[str]
    manifests: Sequence[Manifest]
    fault: str | None


def find() -> Path | None:
    """The program of this version that the set-up built beside this program's own Python, None where it built none."""
    program = Path(sys.executable).parent / name()
    return program if program.is_file() else None


def build(program: Path, root: Path, overlays: Sequence[str]) -> Iterator[Objects]:
    """Every overlay (a path below `root`), in their order. One on which the program crashes has a fault like any other.

    Raises:
        ToolFault: the program does not start.
    """
    count = min(os.cpu_count() or 1, len(overlays))
    with ExitStack() as stack:
        workers = [stack.enter_context(_Worker(program)) for _ in range(count)]
        ahead = count * _AHEAD
        for number in range(len(overlays) + ahead):
            if number < len(overlays):
                workers[number % count].ask(os.fspath(root / overlays[number]))
            if number >= ahead:
                overlay = overlays[number - ahead]
                manifests, fault = workers[(number - ahead) % count].answer()
                yield Objects([overlay], manifests, fault)


@dataclass(slots=True)
class _Worker:
    program: Path
    _waiting: deque[str] = field(default_factory=deque)
    _process: subprocess.Popen[bytes] = field(init=False)
    _complaints: IO[bytes] = field(init=False)

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, folder: str) -> None:
        """Give the process one more folder to build."""
        self._waiting.append(folder)
        self._send(folder)

    def answer(self) -> tuple[Sequence[Manifest], str | None]:
        """The objects of the folder that was asked for first, or the fault."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self._waiting.popleft()
        if line.endswith(b"\n"):
            found: dict[str, Any] = from_json(line)
            return found.get("objects", []), reason(found["fault"]) if "fault" in found else None
        fault = self._end()
        self._start()
        for folder in self._waiting:
            self._send(folder)
        return [], fault

    def _send(self, folder: str) -> None:
        assert self._process.stdin is not None
        question = json.dumps(folder, ensure_ascii=False).encode("utf-8", "surrogateescape")
        with suppress(BrokenPipeError):  # it crashed, as its missing answer will tell
            os.write(self._process.stdin.fileno(), question + b"\n")

    def _start(self) -> None:
        environment = {**os.environ, **_ENVIRONMENT}
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `_end`
        try:
            self._process = subprocess.Popen(
                [self.program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env=environment,
            )
        except OSError as error:
            raise ToolFault(
                f"{self.program} does not start: {error.strerror}; remove it, or run `make setup`"
            ) from error

    def _end(self) -> str:
        """Stop the process, if it still runs, and say why it ended."""
        self._process.kill()
        with self._process:
            code = self._process.wait()
        with self._complaints:
            self._complaints.seek(0)
            lines = self._complaints.read().decode("utf-8", "replace").splitlines()
        reasons = [line for line in lines if line.startswith(_REASONS)] or lines[-1:]
        return f"the program crashed: {reasons[0]}" if reasons else f"the program crashed (exit code {code})"
