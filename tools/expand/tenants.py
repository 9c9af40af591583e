"""Tenants' locks from tenant.yaml and the catalogue."""

from __future__ import annotations

from tools.errors import UsageError
from tools.expand import tenant as tenant_overlay
from tools.expand.experiments import Change
from tools.formats.tenant import Tenant
from tools.formats.tenant_lock import AllowedModel, TenantContent, seal
from tools.repository import Repository


def changes(repository: Repository, environment: str | None) -> list[Change]:
    """What every tenant's overlay is to hold in each of its environments, or in the one given.

    Raises:
        UsageError: a tenant or a model that it names is missing or invalid.
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
    return result


def change(repository: Repository, name: str, tenant: Tenant, environment: str) -> Change:
    """What one tenant's overlay in one environment is to hold."""
    content = TenantContent(
        name=name,
        environment=environment,
        namespace=tenant.namespace or f"{name}-training",
        tenant=tenant.model_dump(mode="json", exclude_unset=True),
        models=[_model(repository, name, model) for model in sorted(tenant.models)],
    )
    return Change(tenant_overlay.folder(content), tenant_overlay.files(seal(content)))


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
    )


def _unresolvable(tenant_name: str, reason: str) -> UsageError:
    return UsageError(f"tenant {tenant_name} cannot be expanded: {reason}; run `ft validate tenants/{tenant_name}`")
