"""How patient the runner is: variables of the container (name, default, least), fit for large models.

`patience` in environments/<env>.yaml sets them.
"""

from __future__ import annotations

import os

from runner.exits import BadSpec

# How long a run keeps its GPUs while the storage cannot take a checkpoint, before it ends with 75.
STORAGE_WAIT = ("RUNNER_STORAGE_WAIT_SECONDS", 600.0, 0.0)
# How long nothing may happen between two steps. Start-up, checkpoints and the result may take four times as long.
STALL = ("RUNNER_STALL_SECONDS", 1800.0, 1.0)


def seconds(setting: tuple[str, float, float]) -> float:
    """The setting's value from the process's environment, else its default.

    Raises:
        BadSpec: it is no number of seconds.
    """
    name, default, least = setting
    text = os.environ.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not least <= value < float("inf"):
        raise BadSpec(
            f"{name} is {text!r}; allowed: a number of seconds, {least:.0f} or more",
            f"mend `patience` in environments/<env>.yaml, which sets {name}",
        )
    return value
