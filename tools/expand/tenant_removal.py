"""A tenant leaves a cluster only after its last run: without its overlay the namespace goes, and every Job in it."""

from __future__ import annotations

from tools.expand import overlay
from tools.findings import Finding, compose
from tools.repository import Repository

_SHOWN = 3


def is_wanted(repository: Repository, environment: str, name: str) -> bool:
    """Whether a tenant is there and names the environment.

    A tenant.yaml with faults counts as there: nothing is removed because of a typo.
    """
    tenant = repository.tenant(name)
    if tenant is None:
        return (repository.root / f"tenants/{name}/tenant.yaml").exists()
    return environment in tenant.environments


def runs_left(repository: Repository, environment: str, name: str) -> list[str]:
    """Overlays of a tenant's runs in an environment, sorted."""
    found = (repository.root / f"overlays/{environment}/{name}").glob(f"*/{overlay.LOCK_FILE}")
    return sorted(path.parent.relative_to(repository.root).as_posix() for path in found)


def refusal(environment: str, name: str, left: list[str]) -> str:
    """Why a tenant stays in an environment, and what to do."""
    shown = ", ".join(left[:_SHOWN]) + (f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
    found = f"tenant {name} is gone from {environment}, but {len(left)} of its runs are not: {shown}"
    remedy = f"put tenants/{name}/tenant.yaml back, and first cancel each run (`state: cancelled`) or let it be retired"
    return compose(found, "removing a tenant without runs", remedy)


def check(repository: Repository, folder: str) -> list[Finding]:
    """The finding of a tenant's overlay `overlays/<env>/_tenants/<tenant>` whose tenant is gone while runs are left; none in all other cases."""
    _, environment, _, name = folder.split("/")
    left = [] if is_wanted(repository, environment, name) else runs_left(repository, environment, name)
    message = refusal(environment, name, left)
    return [Finding(f"{folder}/lock.yaml", 1, 1, "expand-tenant", "error", message)] if left else []
