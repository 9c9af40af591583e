"""One look at a tenant's storage: what lies there, and the verdict on each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools.errors import ToolFault, UsageError
from tools.formats.environment import Environment
from tools.formats.retention import Retention, effective
from tools.formats.tenant import Tenant
from tools.recalls import Recalls
from tools.repository import Repository
from tools.storage import aliases, layout, runs, serving
from tools.storage.retention import Judge, Verdict
from tools.storage.runs import Run
from tools.storage.tree import Tree

GIB = 1 << 30


@dataclass(frozen=True)
class Survey:
    """What was found. quota: bytes. unknown: why no merged model may go; empty when all is known."""

    tenant: str
    environment: str
    tree: Tree
    at: datetime
    quota: int
    retention: Retention
    runs: dict[str, Run]
    verdicts: Sequence[Verdict]
    unknown: Sequence[str]

    @property
    def used(self) -> int:
        """Bytes on the disk."""
        return sum(each.part.size.used for each in self.verdicts)

    @property
    def removable(self) -> list[Verdict]:
        """What `ft storage prune --yes` would take away."""
        return [each for each in self.verdicts if each.removable]


def look(
    repository: Repository, tenant: str, environment: str | None, storage: Path, tracking_uri: str | None
) -> Survey:
    """Look through a tenant's storage in an environment (the tenant's first one when None).

    Raises:
        UsageError: there is no such tenant, environment or folder.
        ToolFault: the storage cannot be read.
    """
    name, settings, site = _subject(repository, tenant, environment)
    if not storage.is_dir():
        raise UsageError(f"{storage} is no folder; give the folder on which the tenant's claim is mounted")
    tree = Tree(storage)
    try:
        parts = list(layout.parts(tree))
    except OSError as error:
        raise ToolFault(f"{storage} cannot be read: {error.strerror}; run it as a user who may") from error
    models = sorted({f"{tenant}.{part.model}" for part in parts if part.kind == "model" and part.model})
    judge = Judge(
        runs=runs.known(repository, name, tenant, frozenset(part.run_id for part in parts if part.run_id)),
        retention=effective(site.retention, settings.retention),
        served=serving.of(repository, name, tenant),
        aliases=aliases.ask(tracking_uri or site.mlflow.tracking_uri, models),
        recalls=Recalls(repository),
        now=datetime.now(UTC),
    )
    return Survey(
        tenant=tenant,
        environment=name,
        tree=tree,
        at=judge.now,
        quota=settings.quota.storage_gib * GIB,
        retention=judge.retention,
        runs=dict(judge.runs),
        verdicts=judge.verdicts(parts),
        unknown=judge.unknown,
    )


def _subject(repository: Repository, tenant: str, environment: str | None) -> tuple[str, Tenant, Environment]:
    settings = repository.tenant(tenant)
    if settings is None:
        raise UsageError(
            f"tenants/{tenant}/tenant.yaml is missing or not valid; `ft validate tenants/{tenant}` says why"
        )
    name = environment or settings.environments[0]
    if name not in settings.environments:
        raise UsageError(f"{tenant} has no storage in {name}; allowed: {', '.join(settings.environments)}")
    site = repository.environment(name)
    if site is None:
        raise UsageError(f"environments/{name}.yaml is missing or not valid; `ft validate environments/{name}.yaml`")
    return name, settings, site
