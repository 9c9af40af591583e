"""The environment exists and the tenant may use it.

Each environment is one cluster. Without the key the tenant's first environment is taken.

Fails:

    environment: prod           # not in tenants/team-a/tenant.yaml, environments

Passes:

    environment: dev
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from tools.findings import Finding, quote
from tools.rules.subject import Subject

ID = "environment-allowed"
KIND = "experiment"
NEEDS = ("environment",)


def check(subject: Subject) -> Iterator[Finding]:
    """Compare the environment with the files and the tenant's list."""
    tenant, name, document = subject.tenant, subject.environment_name, subject.parsed.document
    if name is None:
        return
    where = ("environment",)
    allowed = ", ".join(tenant.environments) if tenant else None
    file = f"environments/{name}.yaml"
    if subject.environment is None and (name == "platform" or not (subject.repository.root / file).is_file()):
        near = get_close_matches(name, tenant.environments if tenant else (), n=1)
        remedy = f'did you mean "{near[0]}"?' if near else "name one of these, or leave the key out"
        yield document.finding(where, ID, f"there is no environment {quote(name)}", allowed, remedy)
    elif tenant is not None and name not in tenant.environments:
        found = f"{subject.tenant_name} may not use the environment {quote(name)}"
        yield document.finding(where, ID, found, allowed, "name one of these, or ask a platform admin")
    elif subject.environment is None:
        found = f"the environment {quote(name)} is not valid"
        yield document.finding(where, ID, found, None, f"run `ft validate {file}`")
