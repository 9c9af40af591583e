"""The program kustomizer (its source lies beside this module), built by Go where there is Go.

It is named after the hash of its source, so that a program of another version is never taken for it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tools.errors import ToolFault

SOURCE = Path(__file__).parent / "kustomizer"
_FILES = ("go.mod", "go.sum", "main.go")
_PREFIX = "ft-kustomizer-"
_DIGITS = 16
_SECONDS = 900  # on two cores and a slow line; without the modules in Go's own cache
_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")
# No compiler for C, no workspace around the checkout, no other Go than the one on PATH.
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local", "GOFLAGS": ""}


def name() -> str:
    """The file name of the program that this source builds to."""
    content = b"".join((SOURCE / file).read_bytes() for file in _FILES)
    return _PREFIX + hashlib.sha256(content).hexdigest()[:_DIGITS]


def install(into: Path) -> Path:
    """Build the program into a folder, whole or not at all, and remove those of other versions from it.

    Raises:
        ToolFault: there is no Go, or it cannot build the program.
    """
    program = into / name()
    if program.is_file():
        return program
    go = shutil.which("go")
    if go is None:
        raise ToolFault("there is no go on PATH")
    into.mkdir(parents=True, exist_ok=True)
    new = into / f".{program.name}.{os.getpid()}"
    try:
        _build(go, new.resolve())
        new.replace(program)
    finally:
        new.unlink(missing_ok=True)
    for other in into.glob(f"{_PREFIX}*"):
        if other != program:
            other.unlink()
    return program


def _build(go: str, output: Path) -> None:
    command = [go, "build", *_FLAGS, "-o", str(output), "."]
    environment = {**os.environ, **_ENVIRONMENT}
    try:
        done = subprocess.run(
            command, cwd=SOURCE, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ToolFault(f"`go build` did not end within {_SECONDS} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it gave no reason"]
        raise ToolFault(f"`go build` failed: {lines[-1]}")
