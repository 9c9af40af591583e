"""`environments/<env>.yaml`: one cluster, and `environments/platform.yaml`: who runs the platform."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.formats.base import Duration, Label, Strict, Text
from tools.formats.people import Person
from tools.formats.retention import Retention

TENANT = "{tenant}"
_WITH_TENANT = r"^[^{}\s]*\{tenant\}[^{}\s]*$"


class Mlflow(Strict):
    """The environment's tracking server and registry."""

    tracking_uri: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=255)]
    cidrs: Annotated[
        list[Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]],
        Field(description="Addresses of an MLflow outside the cluster, which the tenants' pods may reach"),
    ] = []
    pod_port: Annotated[
        int | None, Field(ge=1, le=65535, description="Port of MLflow's pods where it is not the URI's")
    ] = None


class Nfs(Strict):
    """A server with one export a tenant, `<path>/tenants/<tenant>`, and one of the base models, `<path>/base-models`."""

    server: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]*$", max_length=253, description="Name or address")
    ]
    path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._-]+)+$", max_length=200, description="Folder of the exports")]


class Storage(Strict):
    """Claims in each tenant's namespace."""

    storage_class: Annotated[Label, Field(description="StorageClass of the tenants' ReadWriteMany claims")]
    claim: Annotated[Label, Field(description="Name of the tenant's claim")] = "storage"
    base_models_claim: Annotated[Label, Field(description="Name of the read-only claim of base models")] = "base-models"
    base_models_gib: Annotated[int, Field(ge=1, description="Size of the claim of base models (StorageClass)")] = 200
    nfs: Annotated[Nfs | None, Field(description="Volumes on NFS exports instead of the StorageClass")] = None


class Git(Strict):
    """Where the cluster's Argo CD reads overlays; it follows the branch `deployed/<environment>`."""

    url: Annotated[
        str, Field(pattern=r"^(https?|ssh|git|file)://\S+$", max_length=255, description="This repository's URL")
    ]
    signing_keys: Annotated[
        list[Annotated[str, Field(pattern=r"^[0-9A-F]{16}$")]],
        Field(min_length=1, description="Long ids (16 digits) of the bot's GPG keys; other commits are not applied"),
    ]


class ExternalSecrets(Strict):
    """Where the External Secrets Operator finds each tenant's MLflow credential: properties `username` and `password`."""

    store: Annotated[Label, Field(description="Name of the ClusterSecretStore")]
    key: Annotated[
        str, Field(pattern=_WITH_TENANT, max_length=200, description="Key in the store; {tenant} stands for the tenant")
    ] = "finetuning/{tenant}/mlflow"


class Notifications(Strict):
    """Who is told that a tenant's run started, succeeded or failed."""

    service: Annotated[Label, Field(description="A service of argocd-notifications-cm, for instance email or slack")]
    recipient: Annotated[
        str,
        Field(pattern=_WITH_TENANT, max_length=200, description="Address or channel; {tenant} stands for the tenant"),
    ]


class Gateway(Strict):
    """Where served models are registered, so that clients reach each at a path of its own."""

    kind: Annotated[Literal["gateway-api"], Field(description="gateway-api: an HTTPRoute (Gateway API v1)")]
    name: Annotated[Label, Field(description="Name of the Gateway")]
    namespace: Annotated[Label, Field(description="Namespace of the Gateway")]
    hostname: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            max_length=253,
            description="Host name of the models' addresses: https://<hostname>/<tenant>/<model_name>/v1",
        ),
    ]


class ServingSite(Strict):
    """Where the serving team's vLLM reads promoted models; without it nothing can be promoted there."""

    base: Annotated[
        str, Field(pattern=r"^v[1-9][0-9]*$", description="Version of base/serving/ for new promotions")
    ] = "v1"
    namespace: Annotated[
        str,
        Field(
            pattern=r"^(\{tenant\}|[a-z0-9])([-a-z0-9]|\{tenant\})*$",
            max_length=30,
            description="Namespace of the vLLM of a tenant; {tenant} stands for the tenant",
        ),
    ] = "{tenant}-serving"
    gateway: Annotated[Gateway | None, Field(description="Omit it where nothing is to be registered")] = None


class ModelSigning(Strict):
    """Who signs published models; the private key is the Secret model-signing (key.pem) of the tenants' namespaces."""

    public_keys: Annotated[
        list[Annotated[str, Field(pattern=r"^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$")]],
        Field(
            min_length=1,
            description="ed25519 keys, the current one first: the line between the dashes that `openssl pkey -pubout` prints",
        ),
    ]


class Patience(Strict):
    """How long a training bears what stands still before its pod ends with 75 and another one takes over."""

    stall_seconds: Annotated[
        int | None,
        Field(
            ge=60,
            le=86400,
            exclude_if=lambda found: found is None,
            description="Seconds in which a step must end (RUNNER_STALL_SECONDS); start-up, checkpoints and the result may "
            "take four times as long; the runner's own limit is 1800",
        ),
    ] = None
    storage_wait_seconds: Annotated[
        int | None,
        Field(
            ge=0,
            le=86400,
            exclude_if=lambda found: found is None,
            description="Seconds for which a run keeps its GPUs while the storage takes no checkpoint "
            "(RUNNER_STORAGE_WAIT_SECONDS); 0 ends it at once; the runner's own limit is 600",
        ),
    ] = None


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
    git: Annotated[Git | None, Field(description="What Argo CD follows; without it there are no Applications")] = None
    tenant_group: Annotated[
        str,
        Field(pattern=_WITH_TENANT, max_length=200, description="Group of a tenant's people, as the cluster knows it"),
    ] = "finetuning:{tenant}"
    external_secrets: Annotated[ExternalSecrets | None, Field(description="Whether they fetch credentials")] = None
    notifications: Annotated[Notifications | None, Field(description="Whether Argo CD tells anybody")] = None
    model_signing: Annotated[
        ModelSigning | None, Field(description="Keys of published models; without them none has to be signed")
    ] = None
    serving: Annotated[ServingSite | None, Field(description="Where promoted models are served")] = None
    monitoring: Annotated[
        Label | None,
        Field(description="Namespace of the Prometheus that may scrape the training pods; without it nobody may"),
    ] = None
    patience: Annotated[
        Patience | None, Field(description="Limits of new runs; without it, or a key of it, those of the runner")
    ] = None
    kueue: Annotated[bool, Field(description="Whether Kueue queues the Jobs")] = False
    keep_finished: Annotated[Duration, Field(description="How long an overlay stays after its run has ended")] = "7d"
    retention: Annotated[Retention, Field(description="How long the tenants' storages keep what runs left")] = (
        Retention()
    )


class Platform(Strict):
    """The platform as a whole."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    admins: Annotated[list[Person], Field(min_length=1, description="May approve what tenants alone may not")]
    licences: Annotated[list[str], Field(min_length=1, description="Licences of base models that the bank accepts")]
