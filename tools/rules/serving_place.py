"""A served model belongs to a tenant, in an environment where its models are served.

The path says where: `serving/<env>/<tenant>/<model_name>.yaml`. The environment needs `serving:` (where the vLLM of the
serving team reads), and the tenant must be allowed to run there.

Fails:

    serving/test/team-a/support.yaml       # there is no environments/test.yaml

Passes:

    serving/dev/team-a/support.yaml
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, compose, quote
from tools.formats.serving import Serving
from tools.rules.entry import Entry
from tools.rules.served import environment

ID = "serving-place"
KIND = "serving"
NEEDS: tuple[str, ...] = ()


def check(entry: Entry[Serving]) -> Iterator[Finding]:
    """Look at environment and tenant."""
    name, repository = environment(entry), entry.repository
    found, tenant = repository.environment(name), repository.tenant(entry.tenant_name)
    if found is None:
        known = ", ".join(each for each in repository.names("environments") if each != "platform")
        yield _finding(entry, f"there is no valid environment {quote(name)}", known, "move the file")
    elif found.serving is None:
        allowed = "environments with `serving:`"
        yield _finding(entry, f"nothing is served in {quote(name)}", allowed, "ask a platform admin to add it")
    if tenant is None:
        known = ", ".join(sorted(path.parent.name for path in repository.root.glob("tenants/*/tenant.yaml")))
        yield _finding(entry, f"there is no valid tenant {quote(entry.tenant_name)}", known, "move the file")
    elif name not in tenant.environments:
        allowed = ", ".join(tenant.environments)
        yield _finding(entry, f"{entry.tenant_name} may not run in {quote(name)}", allowed, "move the file")


def _finding(entry: Entry[Serving], found: str, allowed: str, remedy: str) -> Finding:
    return Finding(entry.parsed.document.file, 1, 1, ID, "error", compose(found, allowed, remedy))
