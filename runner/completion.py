"""completion.json: the only proof that a run finished, and what its result consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from runner.hashing import faults
from runner.records import Damaged, Record, read
from runner.storage import Paths
from tools.formats.base import RelativePath, Sha256
from tools.formats.model import File

NAME = "completion.json"


class Completion(Record):
    """What completion.json holds; written last, into a folder that then appears by one rename."""

    version: Literal[1]
    run_id: str
    run_sha256: Sha256
    attempt: int
    steps_done: Annotated[int, Field(ge=0)]
    steps_planned: Annotated[int, Field(ge=0)]
    rows_expected: int | None
    rows_trained: int | None
    metrics: Annotated[dict[str, float | None], Field(description="Last value of each; train_loss over all steps")]
    training_seconds: Annotated[float, Field(description="Of all attempts that this result comes from")]
    started_at: str
    finished_at: str
    files: Annotated[dict[RelativePath, File], Field(min_length=1, description="All files but this one")]
    versions: dict[str, str]
    datasets: Annotated[dict[str, Sha256], Field(description="Name -> SHA-256")]
    image: str
    git_commit: str | None
    mlflow_run_id: Annotated[str | None, Field(description="None when MLflow could not be reached in time")]


@dataclass(frozen=True, slots=True)
class Verdict:
    """completion: the proof, or None. reason: why there is none. foreign: it proves another run."""

    completion: Completion | None
    reason: str = ""
    foreign: bool = False


def check(paths: Paths) -> Verdict:
    """Whether the run has finished: completion.json is of this very hash and every file is as it says."""
    file = paths.adapter / NAME
    try:
        found = read(Completion, file)
    except (FileNotFoundError, NotADirectoryError):
        return Verdict(None, f"training has not finished: no {NAME} in {paths.adapter}")
    except Damaged as error:
        return Verdict(None, str(error))
    if found.run_sha256 != paths.lock.sha256:
        return Verdict(None, f"{file} is of the run {found.run_sha256}; allowed: {paths.lock.sha256}", foreign=True)
    wrong = faults(paths.adapter, found.files)
    return Verdict(None, "\n".join(wrong)) if wrong else Verdict(found)
