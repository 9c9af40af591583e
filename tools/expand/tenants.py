"""Tenants' locks from tenant.yaml, the catalogue and the environments; overlays of tenants that are gone are removed."""

from __future__ import annotations

from tools.errors import UsageError
from tools.expand import locks, tenant_removal
from tools.expand import tenant as tenant_overlay
from tools.expand.experiments import Change
from tools.formats.environment import Environment
from tools.formats.tenant import Tenant
from tools.formats.tenant_lock import AllowedModel, Cluster, TenantContent, seal
from tools.repository import Repository


def changes(repository: Repository, environment: str | None) -> list[Change]:
    """What every tenant's overlay is to hold in each of its environments, or in the one given.

    Raises:
        UsageError: a tenant, or what it names, is missing or invalid; or a tenant that is gone has runs left.
    """
    result = []
    for path in sorted((repository.root / "tenants").glob("*/tenant.yaml")):
        name = path.parent.name
        tenant = repository.tenant(name)
        if tenant is None:
            raise _unresolvable(name, f"tenants/{name}/tenant.yaml is not valid")
        result += [
            change(repository, name, tenant, chosen) for chosen in tenant.environments if environment in (None, chosen)
        ]
    return result + _removals(repository, environment)


def change(repository: Repository, name: str, tenant: Tenant, environment: str) -> Change:
    """What one tenant's overlay in one environment is to hold."""
    found = repository.environment(environment)
    if found is None:
        raise _unresolvable(name, f"there is no valid environments/{environment}.yaml")
    content = TenantContent(
        name=name,
        environment=environment,
        namespace=tenant.namespace or f"{name}-training",
        tenant=tenant,
        models=[_model(repository, name, model) for model in sorted(tenant.models)],
        cluster=_cluster(found),
    )
    return Change(tenant_overlay.folder(content), tenant_overlay.files(seal(content)))


def _removals(repository: Repository, environment: str | None) -> list[Change]:
    result = []
    for folder in locks.tenants(repository):
        _, chosen, _, name = folder.split("/")
        if environment not in (None, chosen) or tenant_removal.is_wanted(repository, chosen, name):
            continue
        if left := tenant_removal.runs_left(repository, chosen, name):
            raise UsageError(tenant_removal.refusal(chosen, name, left))
        result.append(Change(folder, None))
    return result


def _cluster(environment: Environment) -> Cluster:
    return Cluster(
        image=environment.image.partition("@")[0],
        mlflow=environment.mlflow,
        storage=environment.storage,
        git=environment.git,
        tenant_group=environment.tenant_group,
        external_secrets=environment.external_secrets,
        notifications=environment.notifications,
        monitoring=environment.monitoring,
        kueue=environment.kueue,
    )


def _model(repository: Repository, tenant_name: str, name: str) -> AllowedModel:
    model = repository.model(name)
    if model is None:
        raise _unresolvable(tenant_name, f"there is no valid catalog/models/{name}.yaml")
    return AllowedModel(
        name=name,
        path=model.path,
        source=model.source.repository,
        revision=model.source.revision,
        licence=model.licence,
        template=model.template,
        context_length=model.architecture.max_position_embeddings,
        size=sum(file.size for file in model.files.values()),
    )


def _unresolvable(tenant_name: str, reason: str) -> UsageError:
    return UsageError(f"tenant {tenant_name} cannot be expanded: {reason}; run `ft validate tenants/{tenant_name}`")
