"""Small readings of Kubernetes objects as JSON, which leave fields out where they are empty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tools.cluster.client import Json


def name(item: Json) -> str:
    """metadata.name."""
    return str((item.get("metadata") or {}).get("name", ""))


def labels(item: Json) -> dict[str, str]:
    """metadata.labels."""
    return (item.get("metadata") or {}).get("labels") or {}


def at(item: Json | None, *path: str) -> Any:
    """A value deep inside, None when any part of the way is missing."""
    value: Any = item
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def condition(item: Json | None, kind: str) -> Json | None:
    """The condition of that type when it is True."""
    found = any_condition(item, kind)
    return found if found is not None and found.get("status") == "True" else None


def any_condition(item: Json | None, kind: str) -> Json | None:
    """The condition of that type, whatever its status."""
    return next((entry for entry in at(item, "status", "conditions") or [] if entry.get("type") == kind), None)


def owned_by(items: Iterable[Json], owner: Json | None) -> list[Json]:
    """Those that `owner` made."""
    uid = at(owner, "metadata", "uid")
    return [
        item for item in items if any(ref.get("uid") == uid for ref in at(item, "metadata", "ownerReferences") or [])
    ]


def created(item: Json) -> str:
    """metadata.creationTimestamp, sortable as text."""
    return str(at(item, "metadata", "creationTimestamp") or "")
