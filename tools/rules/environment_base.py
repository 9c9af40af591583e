"""An environment's base version exists.

New runs are expanded over `base/training/<version>`; a released version is frozen.

Fails:

    base: v9            # there is no base/training/v9/

Passes:

    base: v1
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.formats.environment import Environment
from tools.rules.entry import Entry

ID = "environment-base"
KIND = "environment"
NEEDS = ("base",)


def check(entry: Entry[Environment]) -> Iterator[Finding]:
    """Look for the folder."""
    folder = entry.repository.root / "base" / "training"
    # A checkout without any base (a sparse one) cannot tell.
    if folder.is_dir() and not (folder / entry.value.base).is_dir():
        known = ", ".join(sorted(path.name for path in folder.glob("v*")))
        found = f"there is no base/training/{entry.value.base}"
        yield entry.parsed.document.finding(("base",), ID, found, known or "none yet", "name one that exists")
