"""A new tenant's tenant.yaml as a file that a person reads first: a header, and beside each value what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.expand.yamltext import text
from tools.formats.tenant import Tenant
from tools.repository import Repository

FIRST_ID = 10001
_COLUMN = 34
_EFFECTS: Mapping[str, str] = {
    "members": "may open merge requests for experiments and datasets",
    "approvers": "may authorize experiments by approving",
    "required_approvals": "how many approvals an experiment takes",
    "namespace": "in every cluster; for as long as the tenant lives",
    "environments": "where it may run; the first is the default",
    "models": "base models it may use, files of catalog/models/",
    "priorities": "high needs a platform admin's approval as well",
    "quota.gpus": "in use at once, in each environment",
    "quota.borrow_gpus": "idle ones of other tenants besides, until they need them (Kueue)",
    "quota.gpu_hours_per_month": "time limit x GPUs x nodes of a calendar month's runs",
    "quota.storage_gib": "size of the claim; on NFS set the export's own quota as well",
    "quota.jobs": "in the namespace, finished ones included; a run has two",
    "quota.time_limit": "longest run that needs no platform admin",
    "uid": "user id of its pods and files; never another tenant's",
    "gid": "group id of its pods and files",
}


def free_id(repository: Repository) -> int:
    """The number after the highest user or group id of any tenant: one below may own files of a tenant that has left."""
    names = (path.parent.name for path in repository.root.glob("tenants/*/tenant.yaml"))
    known = [tenant for tenant in map(repository.tenant, names) if tenant is not None]
    return max((max(tenant.uid, tenant.gid) for tenant in known), default=FIRST_ID - 1) + 1


def tenant_text(name: str, fields: Mapping[str, Any]) -> str:
    """The file's text: what it is, who owns it and how it is checked, then the fields in the format's order."""
    lines = [
        "# yaml-language-server: $schema=../../schemas/tenant.schema.json",
        f"# Tenant {name}: who belongs to it and what it may use. Platform admins edit it; check it with",
        f"# `ft validate tenants/{name}`, then write its overlays with `ft expand --tenants`.",
    ]
    for key in Tenant.model_fields:
        value = fields.get(key)
        if isinstance(value, dict):
            lines += [f"{key}:", *(_line(f"{key}.{inner}", item, "  ") for inner, item in value.items())]
        elif value is not None:
            lines.append(_line(key, value))
    return "\n".join(lines) + "\n"


def _line(place: str, value: Any, indent: str = "") -> str:
    line = f"{indent}{place.rpartition('.')[2]}: {_inline(value)}"
    effect = _EFFECTS.get(place)
    return f"{line.ljust(_COLUMN)}  # {effect}" if effect else line


def _inline(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_inline(item)}' for key, item in value.items())}}}"
    return text(value) if isinstance(value, str) else str(value)
