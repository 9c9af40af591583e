"""`overlays/<env>/_tenants/<tenant>/lock.yaml`: what one tenant gets in one environment, completely resolved."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from tools.formats.base import Label, RelativePath, Sha256, Strict
from tools.formats.digest import digest
from tools.formats.environment import ExternalSecrets, Git, Mlflow, Notifications, Storage
from tools.formats.tenant import Tenant


class AllowedModel(Strict):
    """One base model that the tenant may use, as people in the namespace need to know it."""

    name: Label
    path: Annotated[RelativePath, Field(description="Folder below /storage/models/base-model/")]
    source: str
    revision: str
    licence: str
    template: str
    context_length: Annotated[int, Field(ge=1, description="Tokens")]
    size: Annotated[int, Field(ge=0, description="Bytes of all its files")]


class Cluster(Strict):
    """What the environment says of every tenant; the names are those of `environments/<env>.yaml`."""

    image: Annotated[str, Field(description="Allowed image, without digest")]
    mlflow: Mlflow
    storage: Storage
    git: Git | None
    tenant_group: str
    external_secrets: ExternalSecrets | None
    notifications: Notifications | None
    monitoring: Annotated[Label | None, Field(description="Left out where nothing is scraped")] = None
    kueue: bool

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Locks from before this field keep their bytes and hashes."""
        data: dict[str, Any] = dump(self)
        if data.get("monitoring") is None:
            data.pop("monitoring", None)
        return data


class TenantContent(Strict):
    """Everything that decides what the tenant's folder holds."""

    name: Label
    environment: Label
    namespace: Label
    tenant: Annotated[Tenant, Field(description="tenants/<tenant>/tenant.yaml with its defaults")]
    models: list[AllowedModel]
    cluster: Cluster


class TenantLock(Strict):
    """The content with its hash."""

    version: Literal[1]
    sha256: Sha256
    content: TenantContent


def seal(content: TenantContent) -> TenantLock:
    """The lock of a tenant's content."""
    return TenantLock(version=1, sha256=digest(content), content=content)
