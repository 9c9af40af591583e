"""Argo CD's settings of base/argocd/config, read by Argo CD itself: its command line runs the scripts and templates."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e import platform_tree
from tests.e2e.argocd import ArgoCD
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster, read
from tests.e2e.processes import holds
from tests.e2e.repositories import Repository

pytestmark = pytest.mark.e2e

FIXTURES = Path(__file__).parents[1] / "fixtures"
OBJECTS = sorted((FIXTURES / "health").glob("*/*.yaml"))
EVENTS = ("started", "succeeded", "failed")


@pytest.fixture(scope="module")
def settings(built: Cache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each of the ConfigMaps in a file of its name."""
    folder = tmp_path_factory.mktemp("settings")
    for manifest in platform_tree.render(built.program("kustomize"), platform_tree.ROOT / "base/argocd/config"):
        (folder / f"{manifest['metadata']['name']}.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    return folder


def ask(built: Cache, *arguments: str | Path) -> str:
    """Standard output of `argocd admin`."""
    command = [built.program("argocd"), "admin", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("file", OBJECTS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_argocd_sees_the_health_that_the_file_name_says(built: Cache, settings: Path, file: Path) -> None:
    """Argo CD finds each script under its kind and runs it with the libraries that it has."""
    where = ("--argocd-cm-path", settings / "argocd-cm.yaml")
    said = ask(built, "settings", "resource-overrides", "health", file, *where)
    assert f"STATUS: {file.stem.partition('-')[0].capitalize()}\n" in said


@pytest.fixture(scope="module")
def applications(cluster: Cluster, argocd: ArgoCD) -> Iterator[Cluster]:
    """Three Applications in a namespace that Argo CD does not look after, so that their status stays."""
    assert argocd.controller.alive
    samples = read(*(FIXTURES / "notifications").glob("*.yaml"))
    cluster.apply(*samples)
    yield cluster
    for sample in samples:
        cluster.delete("Application", sample["metadata"]["name"], sample["metadata"]["namespace"])


@pytest.mark.parametrize("event", EVENTS)
def test_people_are_told_what_happened_and_nothing_else(
    built: Cache, settings: Path, applications: Cluster, event: str
) -> None:
    """Of the three triggers one fires, and its message names the run and where to look."""
    where = ("-n", "default", "--config-map", settings / "argocd-notifications-cm.yaml", "--secret", ":empty")
    notifications = ("--kubeconfig", applications.kubeconfig, *where)
    fired = [
        trigger
        for trigger in EVENTS
        if ask(built, "notifications", "trigger", "run", f"finetuning-{trigger}", f"team-a.{event}", *notifications)
        .rstrip()
        .endswith("true")
    ]
    assert fired == [event]
    recipient = ("--recipient", "console:stdout")
    template = ("template", "notify", f"finetuning-{event}", f"team-a.{event}")
    said = ask(built, "notifications", *template, *recipient, *notifications)
    assert f"ft status team-a/{event}" in said
    assert "<no value>" not in said


@pytest.mark.parametrize("name", ["finetuning-platform", "finetuning-tenant-team-a"])
def test_platform_and_tenants_stay_in_sync(argocd: ArgoCD, repository: Repository, name: str) -> None:
    """What the API server and the controllers fill in is no difference: nothing is applied again and again."""
    assert repository.url
    argocd.refresh_sets()  # the ApplicationSet controller writes the whole object when it takes the annotation away
    holds(lambda: argocd.differing(name) == [], f"{name} in sync", 5)
    argocd.refresh(name, hard=True)
    assert argocd.differing(name) == []
