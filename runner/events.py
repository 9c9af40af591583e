"""JSON lines on stdout: what a person, `ft run` and a log collector read while the runner works.

Every line has `event` and `time` (seconds since 1970). Events: start, resume, data, progress, checkpoint, message, finish,
failure (train); step, evaluate, finish, failure (publish). Lines of other programs may stand between them.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Any


def emit(event: str, **fields: Any) -> None:
    """Print one event. A reader that went away must not end a training run, so a broken stdout is ignored."""
    line = json.dumps({"event": event, "time": round(time.time(), 3), **finite(fields)}, allow_nan=False)
    try:
        # One write a line: LLaMA Factory's own output shares this stream.
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        pass


def message(text: str) -> None:
    """Something that a person should know and nothing has to act on."""
    emit("message", text=text)


def finite(value: Any) -> Any:
    """The value as strict JSON can carry it: not-a-number and infinity become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
