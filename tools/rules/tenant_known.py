"""The folder of an experiment names a tenant that exists.

The tenant says who may approve, which models and GPUs there are, and in which namespace the Job runs.

Fails:

    experiments/team-z/exp-1.yaml      # there is no tenants/team-z/tenant.yaml

Passes:

    experiments/team-a/exp-1.yaml
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from tools.findings import Finding, compose, quote
from tools.rules.subject import Subject

ID = "tenant-known"
KIND = "experiment"
NEEDS: tuple[str, ...] = ()


def check(subject: Subject) -> Iterator[Finding]:
    """Look for the tenant's file."""
    if subject.tenant is not None:
        return
    name = subject.tenant_name
    file = f"tenants/{name}/tenant.yaml"
    if (subject.repository.root / file).is_file():
        message = compose(f"tenant {quote(name)} is not valid", "a valid tenant", f"run `ft validate {file}`")
    else:
        known = sorted(path.parent.name for path in subject.repository.root.glob("tenants/*/tenant.yaml"))
        near = get_close_matches(name, known, n=1)
        remedy = f'did you mean "{near[0]}"?' if near else "ask a platform admin to add the tenant"
        message = compose(f"there is no tenant {quote(name)}", ", ".join(known), remedy)
    yield Finding(subject.parsed.document.file, 1, 1, ID, "error", message)
