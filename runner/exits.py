"""Exit codes, and the exceptions that carry them. The Job's podFailurePolicy knows the same numbers.

RunnerError        1  unexpected
├── BadSpec        2  the lock is none, was changed, is cancelled or asks for what the runner cannot do
├── Mismatch       3  data, model or results are not what their hashes say; training has not finished (publish)
├── OutOfMemory    4  with the measured peak and the least that was needed
├── TimeLimit      5  the run's cumulative time limit is used up
└── Retry         75  checkpoint saved, or the infrastructure failed: the same command may succeed later
    └── Stopped   75  SIGTERM: the checkpoint is on the storage

0 is done. 2, 3, 4 and 5 come again if the Job is started again, so it must fail at once; 75 is worth a retry.
"""

from __future__ import annotations

DONE = 0
UNEXPECTED = 1


class RunnerError(Exception):
    """Base of all. `cause` says what was found and allowed, `remedy` what to do next."""

    exit_code = UNEXPECTED

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")
        self.cause = cause
        self.remedy = remedy


class BadSpec(RunnerError):  # noqa: N818 - named by the situation, as the exit codes are
    """The lock cannot be run, now or later."""

    exit_code = 2


class Mismatch(RunnerError):  # noqa: N818
    """What lies on the storage is not what its hash says."""

    exit_code = 3


class OutOfMemory(RunnerError):  # noqa: N818
    """The device or the machine has too little memory for this run."""

    exit_code = 4


class TimeLimit(RunnerError):  # noqa: N818
    """All attempts' seconds together have reached `resources.time_limit`."""

    exit_code = 5


class Retry(RunnerError):  # noqa: N818
    """Nothing is wrong with the run itself; trying again may help."""

    exit_code = 75


class Stopped(Retry):
    """SIGTERM came and was obeyed."""
