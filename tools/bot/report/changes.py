"""What a merge request changes, path by path, and whose business each path is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tools.bot.records import User
from tools.formats.serving import SERVING
from tools.formats.tenant import Tenant

Kind = Literal["added", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One path of a merge request; a renamed file is one removed and one added."""

    path: str
    kind: Kind


def tenant_of(path: str) -> str | None:
    """The tenant in whose own folder a path lies (`experiments/<t>/`, `tenants/<t>/datasets/` and `behaviours/`, `recalls/<t>/`, `serving/<env>/<t>/`)."""
    match path.split("/"):
        case ["experiments" | "recalls", tenant, _, *_] | ["tenants", tenant, "datasets" | "behaviours", _, *_]:
            return tenant
        case ["serving", _, tenant, _, *_]:
            return tenant
    return None


def is_bots(path: str) -> bool:
    """Whether nobody but the bot writes here: runs' and served models' overlays and audit records, not the platform's own `_*`."""
    match path.split("/"):
        case ["overlays", _, area, *_]:
            return area == SERVING or not area.startswith("_")
        case ["overlays" | "audit", _, *_]:
            return True
    return False


def outside(path: str, author: User, tenants: Mapping[str, Tenant]) -> str | None:
    """Why a platform admin has to approve a change of `path`, or None where its author may change it alone.

    tenants: as the target branch has them, so that a merge request cannot make its author a member.
    """
    if is_bots(path):
        return "only the bot writes here: undo the change"
    name = tenant_of(path)
    if name is None:
        return "outside the tenants' own folders"
    tenant = tenants.get(name)
    if tenant is None:
        return f"there is no tenant {name} on the target branch yet"
    if author.id not in {person.id for person in tenant.members}:
        return f"the author is no member of {name}"
    return None
