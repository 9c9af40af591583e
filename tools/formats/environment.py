"""`environments/<env>.yaml`: one cluster, and `environments/platform.yaml`: who runs the platform."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.formats.base import Duration, Label, Login, Strict, Text


class Mlflow(Strict):
    """The environment's tracking server and registry."""

    tracking_uri: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=255)]


class Storage(Strict):
    """Claims in each tenant's namespace."""

    storage_class: Annotated[Label, Field(description="StorageClass of the tenants' ReadWriteMany claims")]
    claim: Annotated[Label, Field(description="Name of the tenant's claim")] = "storage"
    base_models_claim: Annotated[Label, Field(description="Name of the read-only claim of base models")] = "base-models"


class Gpu(Strict):
    """The GPUs of the environment's nodes."""

    type: Annotated[Label, Field(description="A name of catalog/gpus.yaml")]
    per_node: Annotated[int, Field(ge=1, le=16)]
    nodes: Annotated[int, Field(ge=1)]


class Environment(Strict):
    """One cluster. dev and prod differ here and nowhere else."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    description: Annotated[Text, Field(description="What the cluster is for")]
    image: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)+@sha256:[0-9a-f]{64}$",
            description="Runner image, always by digest",
        ),
    ]
    base: Annotated[str, Field(pattern=r"^v[1-9][0-9]*$", description="Version of base/training/ for new runs")]
    mlflow: Mlflow
    storage: Storage
    gpu: Gpu
    node_selector: Annotated[
        dict[str, str], Field(description="Labels of the nodes that train; those of the base when empty")
    ] = {}
    kueue: Annotated[bool, Field(description="Whether Kueue queues the Jobs")] = False
    keep_finished: Annotated[Duration, Field(description="How long an overlay stays after its run has finished")] = "7d"


class Platform(Strict):
    """The platform as a whole."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    admins: Annotated[list[Login], Field(min_length=1, description="May approve what tenants alone may not")]
    licences: Annotated[list[str], Field(min_length=1, description="Licences of base models that the bank accepts")]
