"""What the pipeline's jobs are told: one verdict of a commit over all environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.bot.store import Store


def commit_verdict(store: Store, commit: str, environments: Sequence[str]) -> dict[str, Any] | None:
    """The verdicts of a commit together: decided once every environment has decided. None before the first."""
    found = store.verdicts(commit)
    if not found:
        return None
    decided = all(found.get(environment, {}).get("state") == "decided" for environment in environments)
    return {
        "commit": commit,
        "state": "decided" if decided else "waiting",
        "runs": [run for verdict in found.values() for run in verdict["runs"]],
        "reasons": list(dict.fromkeys(reason for verdict in found.values() for reason in verdict["reasons"])),
    }
