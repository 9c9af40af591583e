"""Argo CD's API server: what the bot's token may do, and how a push becomes a Job at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.error import HTTPError

import pytest

from tests.e2e import git_server
from tests.e2e.argocd import NAMESPACE, ArgoCD
from tests.e2e.argocd_server import ArgoCDServer
from tests.e2e.cluster import Cluster, Manifest, has
from tests.e2e.git_server import GitServer
from tests.e2e.processes import holds, wait_for
from tests.e2e.repositories import Repository
from tests.e2e.scenario import Experiment

pytestmark = pytest.mark.e2e

NAME, BRANCH = "finetuning-by-webhook", "deployed/by-webhook"


def test_bots_token_is_of_one_project(experiment: Experiment, argocd_server: ArgoCDServer) -> None:
    """The bot's token reads, syncs and ends operations of its tenant's runs, and nothing else."""
    token = argocd_server.role_token(f"finetuning-{experiment.tenant}")
    experiment.commit()
    experiment.started(experiment.training)
    path = f"/api/v1/applications/{experiment.application}"
    assert argocd_server.call("GET", path, token=token)["metadata"]["name"] == experiment.application
    experiment.reaches("Running")
    argocd_server.call("DELETE", f"{path}/operation", token=token)
    experiment.reaches("Failed")
    argocd_server.call("POST", f"{path}/sync", {}, token=token)
    experiment.argocd.refresh(
        experiment.application
    )  # the controller may overlook a sync that comes as another one ends
    experiment.reaches("Running")
    for method, other, body in (
        ("DELETE", path, None),
        ("PATCH", path, {"patch": "{}", "patchType": "merge"}),
        ("POST", "/api/v1/applications/finetuning-tenant-team-a/sync", {}),
        ("GET", "/api/v1/projects/finetuning-platform", None),
    ):
        with pytest.raises(HTTPError, match="403"):
            argocd_server.call(method, other, body, token=token)
    experiment.finished()


@dataclass(frozen=True)
class Pushed:
    """A run on a branch of its own that is never polled, behind a git server with webhooks."""

    experiment: Experiment
    server: GitServer
    hooks: tuple[str, str]  # of the ApplicationSet controller and of argocd-server

    def push(self, message: str) -> str:
        """Commit what changed; Argo CD hears nothing of it yet. Returns the commit before."""
        repository = self.experiment.repository
        before = repository.head()
        repository.push(message)
        return before

    def tell(self, before: str) -> None:
        """Both webhooks, as docs/install.md sets them up."""
        for hook in self.hooks:
            self.server.tell(hook, BRANCH, before, self.experiment.repository.head())


@pytest.fixture
def pushed(repository: Repository, argocd: ArgoCD, argocd_server: ArgoCDServer) -> Iterator[Pushed]:
    """Team A's project and ApplicationSet once more, for another branch of the same repository, over HTTP."""
    cluster = argocd.cluster
    experiment = Experiment(cluster, argocd, repository, "team-a", "by-webhook")
    with git_server.serving(repository.bare) as server, repository.branch(BRANCH):
        repository.push("another branch")
        cluster.apply(*_for_branch(cluster, server.url))
        wait_for(lambda: has(cluster.get("ApplicationSet", NAME, NAMESPACE), "ResourcesUpToDate"), "the ApplicationSet")
        sets = f"http://127.0.0.1:{argocd.ports.sets_webhook}"
        yield Pushed(experiment, server, (f"{sets}/api/webhook", f"{argocd_server.url}/api/webhook"))
        if experiment.phase() == "Running":
            argocd.terminate(experiment.application)
        cluster.delete("ApplicationSet", NAME, NAMESPACE)
        experiment.gone()
        cluster.delete("AppProject", NAME, NAMESPACE)


def _for_branch(cluster: Cluster, url: str) -> list[Manifest]:
    """What the tenant's overlay has in the cluster, with another name, address and branch, and no polling."""
    project = cluster.get("AppProject", "finetuning-team-a", NAMESPACE) or {}
    applications = cluster.get("ApplicationSet", "finetuning-team-a", NAMESPACE) or {}
    project["spec"]["sourceRepos"] = [url]
    project["spec"].pop("roles")
    generator = applications["spec"]["generators"][0]["git"]
    generator |= {"repoURL": url, "revision": BRANCH, "requeueAfterSeconds": 3600}
    template = applications["spec"]["template"]["spec"]
    template["project"] = NAME
    template["source"] |= {"repoURL": url, "targetRevision": BRANCH}
    return [_renamed(project), _renamed(applications)]


def _renamed(manifest: Manifest) -> Manifest:
    metadata = {"name": NAME, "namespace": NAMESPACE}
    return {part: manifest[part] for part in ("apiVersion", "kind", "spec")} | {"metadata": metadata}


def test_push_becomes_a_job_by_webhook(pushed: Pushed) -> None:
    """A new overlay and a raised attempt start when the webhook tells of them, not before, and a wrong secret tells nothing."""
    experiment, argocd = pushed.experiment, pushed.experiment.argocd
    experiment.authorize()
    before = pushed.push("authorize")
    for hook in pushed.hooks:
        with pytest.raises(HTTPError, match="400"):
            pushed.server.tell(hook, BRANCH, before, before, secret="a guess")
    holds(lambda: argocd.application(experiment.application) is None, "no Application without a webhook")
    pushed.tell(before)
    experiment.started(experiment.training)
    argocd.terminate(experiment.application)
    experiment.reaches("Failed")
    experiment.raise_attempt()
    argocd.refresh(experiment.application)  # the next look at git is a minute away
    before = pushed.push("attempt 2")
    holds(lambda: experiment.job(experiment.training) is None, "no second attempt without a webhook")
    pushed.tell(before)
    experiment.started(experiment.training)


def test_a_push_makes_no_difference_to_what_manages_the_runs(argocd: ArgoCD, repository: Repository) -> None:
    """What the ApplicationSet controller writes into its own objects after a push is not applied over again and again."""
    assert repository.url
    argocd.refresh_sets()
    wait_for(lambda: all(map(_written_back, argocd.cluster.list("ApplicationSet", NAMESPACE))), "the look at git")
    for name in ("finetuning-platform", "finetuning-tenant-team-a"):
        argocd.refresh(name, hard=True)
        status = (argocd.application(name) or {})["status"]
        assert status["sync"]["status"] == "Synced", [
            each for each in status["resources"] if each["status"] != "Synced"
        ]


def _written_back(applications: Manifest) -> bool:
    """Whether its controller has looked at git and taken the request for it away."""
    return "argocd.argoproj.io/application-set-refresh" not in (applications["metadata"].get("annotations") or {})
