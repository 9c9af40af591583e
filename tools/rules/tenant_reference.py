"""A tenant's environments and models exist.

A name with a typo would refuse experiments that are meant to be allowed.

Fails:

    environments: [dev, prd]        # there is no environments/prd.yaml

Passes:

    environments: [dev, prod]
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from tools.findings import Finding
from tools.formats.tenant import Tenant
from tools.rules.entry import Entry

ID = "tenant-reference"
KIND = "tenant"
NEEDS: tuple[str, ...] = ()
_FOLDERS = {"environments": "environments", "models": "catalog/models"}


def check(entry: Entry[Tenant]) -> Iterator[Finding]:
    """Look for the file of each name."""
    for field, folder in _FOLDERS.items():
        if not entry.parsed.usable(field):
            continue
        known = [name for name in entry.repository.names(folder) if (folder, name) != ("environments", "platform")]
        for index, name in enumerate(getattr(entry.value, field)):
            if name not in known:
                near = get_close_matches(name, known, n=1)
                remedy = f'did you mean "{near[0]}"?' if near else "remove it, or add the file first"
                found = f"there is no {folder}/{name}.yaml"
                yield entry.parsed.document.finding((field, index), ID, found, ", ".join(known) or "none yet", remedy)
