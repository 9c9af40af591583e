"""Exit codes, and the exceptions that carry them. The Job's podFailurePolicy knows the same numbers.

RunnerError        1  unexpected
├── BadSpec        2  the lock is none, was changed, is cancelled or asks for what the runner cannot do
├── Mismatch       3  data, model or results are not what their hashes say; training has not finished (publish)
├── OutOfMemory    4  with the measured peak and the estimate
├── TimeLimit      5  the run's cumulative time limit is used up
├── Diverged       6  the loss is no number any more, or exploded
└── Retry         75  checkpoint saved, or the infrastructure failed: the same command may succeed later
    └── Stopped   75  SIGTERM: the checkpoint is on the storage

0 is done. 2 to 6 come again if the Job is started again, so it must fail at once; 75 is worth a retry.
Each error has a `code` of tools/causes.py, the class's unless the place that raises it knows better.
"""

from __future__ import annotations

from typing import Any

DONE = 0
UNEXPECTED = 1


class RunnerError(Exception):
    """Base of all. `cause` says what was found and allowed, `remedy` what to do next.

    code: a key of `tools.causes.CAUSES`. details: figures for programs, such as bytes.
    """

    exit_code = UNEXPECTED
    usual_code = "unexpected"

    def __init__(self, cause: str, remedy: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(f"{cause}; {remedy}")
        self.cause = cause
        self.remedy = remedy
        self.code = code or self.usual_code
        self.details = details


class BadSpec(RunnerError):  # noqa: N818 - named by the situation, as the exit codes are
    """The lock cannot be run, now or later."""

    exit_code = 2
    usual_code = "bad-spec"


class Mismatch(RunnerError):  # noqa: N818
    """What lies on the storage is not what its hash says."""

    exit_code = 3
    usual_code = "data-mismatch"


class OutOfMemory(RunnerError):  # noqa: N818
    """The device or the machine has too little memory for this run."""

    exit_code = 4
    usual_code = "out-of-memory"


class TimeLimit(RunnerError):  # noqa: N818
    """All attempts' seconds together have reached `resources.time_limit`."""

    exit_code = 5
    usual_code = "time-limit"


class Diverged(RunnerError):  # noqa: N818
    """Training went wrong numerically; from the same checkpoint it would again."""

    exit_code = 6
    usual_code = "nan-loss"


class Retry(RunnerError):  # noqa: N818
    """Nothing is wrong with the run itself; trying again may help."""

    exit_code = 75
    usual_code = "interrupted"


class Stopped(Retry):
    """SIGTERM came and was obeyed."""

    usual_code = "stopped"
