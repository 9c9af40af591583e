"""Why a rank failed, as a file that its supervisor reads: torch's agent passes on exit codes at best, and not all of them."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.events import finite
from runner.exits import Retry, RunnerError, Stopped
from runner.hashing import write_json
from tools.causes import CAUSES

_NAME = re.compile(r"^rank-([0-9]+)\.json$")
# What torch says when another rank is gone: gloo, NCCL, the store.
_LOST = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|socket (closed|timeout)|remote process exited|network error"
    r"|failed to (recv|send)|timed out waiting|DistNetworkError|DistStoreError|ncclSystemError|ncclRemoteError",
    re.IGNORECASE,
)


class PeerLost(Retry):
    """Another rank ended first; that one knows why."""


@dataclass(frozen=True, slots=True)
class Note:
    """owner: whether the run's folder was this gang's, so that failure.json may be written there."""

    failure: RunnerError
    owner: bool


def lost(error: BaseException | None) -> PeerLost | None:
    """The PeerLost that an exception amounts to, or None when it is this rank's own."""
    while error is not None:
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, (RuntimeError, ConnectionError)) and _LOST.search(text):
            line = text.strip().splitlines()[0][:300]
            return PeerLost(f"another rank ended or cannot be reached: {line}", "the gang starts again by itself")
        error = error.__cause__ or error.__context__
    return None


def write(folder: Path, rank: int, failure: RunnerError, *, owner: bool) -> None:
    """Leave a rank's failure for the supervisor."""
    note = {
        "kind": type(failure).__name__,
        "cause": failure.cause,
        "remedy": failure.remedy,
        "code": failure.code,
        "details": finite(failure.details),
        "owner": owner,
    }
    write_json(folder / f"rank-{rank}.json", note, durable=False)


def read(folder: Path) -> dict[int, Note]:
    """The notes that ranks left, by rank."""
    found = {}
    for path in folder.iterdir():
        if match := _NAME.match(path.name):
            note = json.loads(path.read_text(encoding="utf-8"))
            found[int(match[1])] = Note(_failure(note), note["owner"])
    return found


def decisive(noted: Mapping[int, Note], codes: Mapping[int, int]) -> Note:
    """The one that says most: a rank's own reason, then a rank that was killed, then the loss of another.

    codes: rank -> exit status as the agent saw it, negative for a signal; there may be fewer than ranks.
    """
    own = [note for _, note in sorted(noted.items()) if not isinstance(note.failure, PeerLost)]
    if own:
        return min(own, key=lambda note: (isinstance(note.failure, Retry), isinstance(note.failure, Stopped)))
    for rank, code in sorted(codes.items()):
        if rank not in noted:
            return Note(_without_note(rank, code), owner=True)
    unknown = Retry("no rank said why it ended", "start the same run again: it resumes by itself")
    # A rank of another pod ended: that pod's own words stay in failure.json.
    return Note(next((note.failure for note in noted.values()), unknown), owner=False)


def _without_note(rank: int, code: int) -> RunnerError:
    if code < 0:
        name = signal.Signals(-code).name
        return Retry(
            f"rank {rank} was killed by {name}; the last checkpoint is on the storage",
            "start the same run again: it resumes by itself; if SIGKILL comes again, the pod needs more memory",
        )
    if code == Retry.exit_code:  # as runner.stall ends a process whose native code keeps Python's lock
        return Retry(f"rank {rank} stood still; its stacks are above", CAUSES["stalled"].remedy, code="stalled")
    return RunnerError(f"rank {rank} ended with exit code {code} and no reason", "read its output above")


def _failure(note: Mapping[str, Any]) -> RunnerError:
    cls = next((cls for cls in _classes(RunnerError) if cls.__name__ == note["kind"]), RunnerError)
    return cls(note["cause"], note["remedy"], code=note["code"], **note["details"])


def _classes(cls: type[RunnerError]) -> Iterator[type[RunnerError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _classes(child)
