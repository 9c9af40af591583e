"""The licence that a model's README.md states in its front matter, where model hubs keep it."""

from __future__ import annotations

from pathlib import Path

import yaml

_FENCE = "---"
_MAX = 256 << 10


def licence(folder: Path) -> str | None:
    """The licence id in lower case (`license`, or `license_name` where that is "other"), or None."""
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(_MAX)
    except OSError:
        return None
    head, fence, _ = text.removeprefix("\ufeff").removeprefix(_FENCE).partition(f"\n{_FENCE}")
    if not fence or not text.removeprefix("\ufeff").startswith(_FENCE):
        return None
    try:
        # No aliases can multiply here: only two scalars of the mapping are looked at.
        data = yaml.safe_load(head)
    except yaml.YAMLError:
        return None
    if not isinstance(data, dict):
        return None
    found = data.get("license")
    if found == "other":
        found = data.get("license_name") or found
    return found.lower() if isinstance(found, str) else None
