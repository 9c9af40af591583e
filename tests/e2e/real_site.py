"""A platform whose Jobs run for real: a control plane with a node, Argo CD, MLflow, volumes and a repository of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from demo.base_model import NAME as MODEL
from tests.e2e import argocd as argo
from tests.e2e import control_plane, image, machine, mlflow_server, node, platform_tree, registry
from tests.e2e.argocd import ArgoCD
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster, Manifest, read
from tests.e2e.containers import Containers
from tests.e2e.image import Images
from tests.e2e.mlflow_server import MLflow
from tests.e2e.node import Node
from tests.e2e.processes import Programs, free_ports
from tests.e2e.repositories import Repository, signing_key
from tools.cli import main as ft

ROOT = platform_tree.ROOT
TENANT = "team-a"
UID = GID = 10001  # of tenants/team-a/tenant.yaml
FILES = Path(__file__).parent / "manifests" / "real-pods"


@dataclass(frozen=True)
class Site:
    """All of it, running."""

    images: Images
    cluster: Cluster
    argocd: ArgoCD
    repository: Repository
    kubectl: tuple[str, ...]  # as an administrator
    node: Node
    mlflow: MLflow
    storage: Path  # what the tenant's claim holds, on this machine
    credential: Manifest  # the Secret with the tenant's MLflow user

    @property
    def containers(self) -> Containers:
        """What runs on the node."""
        return self.node.containers


@contextmanager
def running(built: Cache, images: Images, folder: Path) -> Iterator[Site]:
    """Start everything and stop it; the programs' logs are in `<folder>/log`."""
    with ExitStack() as stack:
        programs = stack.enter_context(Programs(folder / "log"))
        plane = control_plane.start(built, folder / "control-plane", programs)
        key = stack.enter_context(signing_key(folder / "bot"))
        cluster = plane.cluster
        url = stack.enter_context(registry.serving(Path(images.layout)))
        one = stack.enter_context(node.running(built, cluster, programs, url, images))
        server = mlflow_server.running(folder / "mlflow", node.ADDRESS, free_ports(1)[0], programs)
        mlflow = stack.enter_context(server)
        storage = _volumes(cluster, folder / "volumes")
        argocd = stack.enter_context(
            argo.running(built, cluster, folder / "argocd", programs, {key.key_id: key.public})
        )
        repository = Repository(folder, key)
        platform_tree.copy(repository.work, repository.url, key.key_id)
        _environment(repository.work, images, mlflow)
        validate(repository.work)
        platform_tree.expand(repository.work, "--platform", "--tenants")
        repository.push("the platform")
        platform = repository.work / "overlays" / "dev" / "_platform"
        cluster.apply(*platform_tree.render(built.program("kustomize"), platform))
        argocd.settled("finetuning-platform")
        argocd.settled(f"finetuning-tenant-{TENANT}")
        credential = _credential(mlflow)
        cluster.apply(credential)
        kubectl = (built.program("kubectl"), "--kubeconfig", str(cluster.kubeconfig))
        yield Site(images, cluster, argocd, repository, kubectl, one, mlflow, storage, credential)


def _credential(mlflow: MLflow) -> Manifest:
    """The tenant's user, who makes the tenant's experiment as docs/install.md says, and its Secret."""
    tenant = mlflow.login(TENANT)
    tenant.post("experiments/create", {"name": TENANT})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mlflow-credentials", "namespace": f"{TENANT}-training"},
        "stringData": {"username": tenant.user, "password": tenant.password},
    }


def validate(platform: Path) -> None:
    """Run `ft validate` over everything."""
    assert ft(["validate", "--repo", str(platform)]) == 0


def _environment(platform: Path, images: Images, mlflow: MLflow) -> None:
    """Say what only an environment says: the image's digest, where MLflow is, and whose volumes there are."""
    file = platform / "environments" / "dev.yaml"
    yaml = YAML()
    environment = yaml.load(file)
    environment["image"] = f"{image.NAME}@{images.training}"
    environment["mlflow"] = {"tracking_uri": mlflow.url, "cidrs": [f"{node.ADDRESS}/32"]}
    environment["storage"] = {"storage_class": "local-folders"}
    yaml.dump(environment, file)


def _volumes(cluster: Cluster, folder: Path) -> Path:
    """The folders of docs/install.md with base model and data in them, and their volumes; returns the tenant's."""
    storage, models = folder / "tenants" / TENANT, folder / "base-models"
    for name in ("", "data", "data/training-datasets", "output", "evaluation", "models", "models/merged-model"):
        (storage / name).mkdir(parents=True, exist_ok=True)
        os.chown(storage / name, UID, GID)
        (storage / name).chmod(0o770)
    data = storage / "data" / "training-datasets" / "customer-topics.json"
    shutil.copyfile(ROOT / "demo" / "data" / data.name, data)
    kept = machine.home()  # the same in every test run: the build checks its hashes
    build = ["-m", "demo.base_model", "--storage", str(kept)]
    subprocess.run([machine.RUNNER / "python", *build], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    shutil.copytree(kept / "models" / "base-model" / MODEL, models / MODEL)
    storage_class, own, shared = read(FILES / "volumes.yaml")
    own["spec"]["local"]["path"], shared["spec"]["local"]["path"] = str(storage), str(models)
    cluster.apply(storage_class, own, shared)
    return storage
