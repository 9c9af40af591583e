"""A followed run as the bot's service answers it to the pipeline's jobs: plain data with stable keys."""

from __future__ import annotations

import json
from typing import Any

from tools.bot.report.following import Seen


def answer(seen: Seen) -> dict[str, Any]:
    """What GET /runs/{hash} says: state, progress, reason and remedy, the log's last lines, the registered version."""
    promise, tracked, tail = seen.promise, seen.tracked, seen.tail
    attempt = seen.lock.attempt if seen.lock else seen.record.last.attempt if seen.record else 1
    return {
        "run_id": promise.run_id,
        "sha256": promise.sha256,
        "tenant": promise.tenant,
        "environment": promise.environment,
        "experiment": f"experiments/{promise.tenant}/{promise.name}.yaml",
        "attempt": attempt,
        "state": seen.state,
        "percent": tracked.percent if tracked else None,
        "eta_seconds": tracked.eta_seconds if tracked else None,
        "step": seen.curve[-1][0] if seen.curve else None,
        "steps": None,
        "loss": tracked.loss if tracked else None,
        "reason": "; ".join(filter(None, (seen.reason, *seen.reasons))) or None,
        "remedy": seen.remedy or None,
        "log": list(tail.lines) if tail else [],
        "model": {**seen.registered, "url": tracked.version_url if tracked else None} if seen.registered else None,
        "completion": _completion(seen),
    }


def _completion(seen: Seen) -> dict[str, Any] | None:
    """The run's completion.json, which publishing keeps in a tag of the version (runner/registry.py)."""
    text = (seen.registered or {}).get("tags", {}).get("completion")
    try:
        found = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
