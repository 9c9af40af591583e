"""Whether a run that trains still gets anywhere, from the time of its last metrics in MLflow and what a step takes."""

from __future__ import annotations

import time
from datetime import timedelta

from tools.causes import CAUSES
from tools.cluster.observed import Observed

SECONDS = 300.0  # an evaluation, a checkpoint, or MLflow's being away takes a while
STEPS = 10  # as often as the trainer logs, and as many times more


def silence(seen: Observed, now: float | None = None) -> float | None:
    """Seconds without news that are too many; None while all is well or nothing is known."""
    tracked = seen.tracked
    if tracked is None or tracked.updated is None or not tracked.seconds_per_step or seen.run.lock is None:
        return None
    between = tracked.seconds_per_step * int(seen.run.lock.run.settings.get("logging_steps") or 1)
    still = (time.time() if now is None else now) - tracked.updated
    return still if still > max(SECONDS, STEPS * between) else None


def reason(seen: Observed) -> tuple[str, str]:
    """Why a running run may be stuck, and what to do; empty while it is not."""
    still = silence(seen)
    if still is None or seen.tracked is None:
        return "", ""
    step = seen.tracked.seconds_per_step
    text = f"MLflow has had no step for {timedelta(seconds=round(still))}, and a step takes {step:.3g} s"
    return (
        text,
        f"MLflow was away, or the run hangs and its watchdog ends it: read the pod's log; {CAUSES['stalled'].remedy}",
    )
