"""`python -m runner.lastwords FAILURE [FOLDER]`: reports a failure for a runner that cannot do it any more.

FAILURE is JSON {"cause", "remedy", "code"}. A program of its own, since the one that it speaks for is stuck in native code.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from runner import failures
from runner.exits import Retry, RunnerError


def command(failure: RunnerError, folder: Path | None) -> str:
    """The shell's command that reports the failure, with failure.json in `folder`."""
    text = json.dumps({"cause": failure.cause, "remedy": failure.remedy, "code": failure.code})
    words = [sys.executable, "-m", __name__, text, *([str(folder)] if folder else [])]
    return f"exec {shlex.join(words)}"


def main(failure: str, folder: str | None = None) -> None:
    """Report it."""
    found = Retry(**json.loads(failure))
    failures.report(found, found, Path(folder) if folder else None)


if __name__ == "__main__":
    main(*sys.argv[1:])
