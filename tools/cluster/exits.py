"""What the runner's exit codes mean to a person (runner/exits.py, and the Job's podFailurePolicy, know the numbers)."""

from __future__ import annotations

_AGAIN = "raise `attempt` in the experiment: it goes on from its last checkpoint"

# exit code -> what happened, what to do
EXITS: dict[int, tuple[str, str]] = {
    1: ("the runner failed unexpectedly", "read the pod's log"),
    2: ("the run's description was refused", "read the pod's log; write a corrected experiment under a new name"),
    3: (
        "data or model is not what its hash says",
        f"put back the file that the pod's log names, then {_AGAIN}",
    ),
    4: (
        "out of memory",
        "write an experiment with a smaller batch, cutoff_len or lora_rank (`ft plan` estimates the peak)",
    ),
    5: ("the time limit is used up", _AGAIN),
    75: ("interrupted, its checkpoint saved", f"read the pod's log; when the cause is gone, {_AGAIN}"),
    137: (
        "killed by the system (SIGKILL), mostly for memory",
        "see the pod's reason; ask for less memory or more GPUs",
    ),
    143: ("stopped (SIGTERM) before it could save", _AGAIN),
}


def in_words(code: int) -> str:
    """`exit code 4: out of memory`."""
    known = EXITS.get(code)
    return f"exit code {code}: {known[0]}" if known else f"exit code {code}"


def remedy(code: int) -> str:
    """What to do after it."""
    known = EXITS.get(code)
    return known[1] if known else EXITS[1][1]
