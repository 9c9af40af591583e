"""What an exception means for whoever started the run: an exit code, a cause of tools/causes.py and what to do."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from runner import symptoms
from runner.events import emit, finite
from runner.exits import RunnerError
from runner.hashing import write_json
from runner.storage import Paths

NAME = "failure.json"
TERMINATION_LOG = "RUNNER_TERMINATION_LOG"  # set by the Job: the file that Kubernetes reads after the container's end
MOST_WORDS = 1500


def explain(error: BaseException, paths: Paths) -> RunnerError:
    """The RunnerError that an exception amounts to; one that is unknown keeps exit code 1."""
    chain = list(_chain(error))
    known = next((item for item in chain if isinstance(item, RunnerError)), None)
    if known is not None:
        return known
    for recognised in symptoms.ALL:
        if (found := recognised(chain, paths)) is not None:
            return found
    return RunnerError(
        f"{type(error).__name__}: {symptoms.first_line(error)}",
        "read the traceback above; mend the cause, then raise `attempt` in the experiment",
    )


def report(failure: RunnerError, error: BaseException, folder: Path | None) -> None:
    """Tell people and programs: stderr, the failure event, the pod's termination message, and failure.json in `folder`."""
    if failure.exit_code == RunnerError.exit_code:
        traceback.print_exception(error, file=sys.stderr)
    print(f"runner: {failure}", file=sys.stderr)
    fields = {
        "exit_code": failure.exit_code,
        "code": failure.code,
        "cause": failure.cause,
        "remedy": failure.remedy,
        "details": finite(failure.details),
    }
    emit("failure", **fields)
    _last_words(failure)
    if folder is not None:
        try:
            write_json(folder / NAME, {"at": datetime.now(UTC).isoformat(), **fields})
        except OSError as fault:
            print(f"runner: {folder / NAME}: {fault}", file=sys.stderr)


def _last_words(failure: RunnerError) -> None:
    """What Kubernetes keeps of the container after its end, so that `ft status` needs no log; at most 4096 bytes."""
    file = os.environ.get(TERMINATION_LOG)
    if file:
        words = {"code": failure.code, "cause": failure.cause[:MOST_WORDS], "remedy": failure.remedy[:MOST_WORDS]}
        try:
            Path(file).write_text(json.dumps(words), encoding="ascii")
        except OSError as fault:
            print(f"runner: {file}: {fault}", file=sys.stderr)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
