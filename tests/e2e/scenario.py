"""One tenant with a repository of its own in a real Argo CD, and what a test does with one of its experiments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests.e2e import platform_tree, pods
from tests.e2e.argocd import ArgoCD
from tests.e2e.cluster import Cluster, Manifest, has, read
from tests.e2e.processes import wait_for
from tests.e2e.repositories import Repository

_MANIFESTS = Path(__file__).parent / "manifests"


def bootstrap(kustomize: str, cluster: Cluster, argocd: ArgoCD, platform: Path) -> None:
    """Make a cluster a platform: once by hand, as its README says, and Argo CD does the rest."""
    cluster.apply(*platform_tree.render(kustomize, platform / "overlays" / "dev" / "_platform"))
    cluster.apply(*read(_MANIFESTS / "kueue-access.yaml"))
    argocd.settled("finetuning-platform")
    argocd.settled("finetuning-tenant-team-a")


@dataclass
class Experiment:
    """One experiment of one tenant: its overlay in git, its Application, its two Jobs."""

    cluster: Cluster
    argocd: ArgoCD
    repository: Repository
    tenant: str
    name: str
    run_id: str = ""  # known once it is expanded
    attempt: int = 1

    @property
    def namespace(self) -> str:
        """Where it runs."""
        return f"{self.tenant}-training"

    @property
    def folder(self) -> str:
        """Its overlay in the repository."""
        return f"overlays/dev/{self.tenant}/{self.name}"

    @property
    def application(self) -> str:
        """Its Application."""
        return f"{self.tenant}.{self.name}"

    @property
    def training(self) -> str:
        """Its training Job."""
        return f"{self.run_id}-a{self.attempt}"

    @property
    def publishing(self) -> str:
        """Its PostSync Job."""
        return f"{self.run_id}-publish"

    def authorize(self) -> None:
        """Expand it, as the bot does after the approval; nothing is committed yet."""
        platform = self.repository.work
        file = platform_tree.add_experiment(platform, self.tenant, self.name)
        platform_tree.expand(platform, str(file))
        self.run_id, self.attempt = platform_tree.locked(platform, self.tenant, self.name)

    def commit(self, *, signed: bool = True, ahead: timedelta | None = None) -> str:
        """Expand it, push the overlay, tell Argo CD as a webhook would, and return the commit."""
        self.authorize()
        return self.push(f"{self.application}: authorize", signed=signed, ahead=ahead)

    def raise_attempt(self) -> None:
        """What a person does after a failure, and what the bot makes of it; nothing is committed yet."""
        file = self.repository.work / "experiments" / self.tenant / f"{self.name}.yaml"
        with file.open("a", encoding="utf-8") as text:
            text.write(f"attempt: {self.attempt + 1}\n")
        platform_tree.expand(self.repository.work, str(file))
        _, self.attempt = platform_tree.locked(self.repository.work, self.tenant, self.name)

    def try_again(self) -> str:
        """Raise its attempt and push it."""
        self.raise_attempt()
        commit = self.push(f"{self.application}: attempt {self.attempt}")
        self.argocd.refresh(self.application)  # the webhook's other half: no ApplicationSet changes with this commit
        return commit

    def withdraw(self) -> str:
        """Remove the overlay, as the bot does for `state: cancelled`."""
        self.repository.remove(self.folder)
        return self.push(f"{self.application}: cancel")

    @property
    def authorized(self) -> bool:
        """Whether its overlay is in the next commit."""
        return (self.repository.work / self.folder).exists()

    def cancelled(self) -> None:
        """Take the overlay out, end the operation that runs, and wait until Application and Jobs are gone."""
        self.withdraw()
        wait_for(self._deleting, f"the deletion of {self.application}", programs=[self.argocd.sets])
        if self.phase() == "Running":
            self.argocd.terminate(self.application)
        self.gone()

    def _deleting(self) -> bool:
        application = self.argocd.application(self.application)
        return application is None or "deletionTimestamp" in application["metadata"]

    def push(self, message: str, *, signed: bool = True, ahead: timedelta | None = None) -> str:
        """Commit what changed and tell Argo CD."""
        commit = self.repository.push(message, signed=signed, ahead=ahead)
        self.argocd.refresh_sets()
        return commit

    def job(self, name: str) -> Manifest | None:
        """One of its Jobs as the cluster has it now."""
        return self.cluster.get("Job", name, self.namespace)

    def started(self, name: str) -> Manifest:
        """Wait until a Job is there and return it."""
        return wait_for(lambda: self.job(name), f"Job {name}", programs=[self.argocd.controller, self.argocd.sets])

    def completed(self, name: str) -> Manifest:
        """Let the Job's pod succeed, wait until the Job is complete and return it."""
        self.started(name)
        pods.finish(self.cluster, self.namespace, name)
        wait_for(lambda: has(self.job(name), "Complete"), f"completion of Job {name}")
        return self.started(name)

    def finished(self) -> Manifest:
        """Take the experiment through both Jobs to a succeeded sync; returns the training Job."""
        training = self.completed(self.training)
        self.completed(self.publishing)
        self.reaches("Succeeded")
        return training

    def published(self) -> None:
        """Let every pod of the publish Job succeed until the sync has: an interrupted sync makes that Job anew."""

        def look() -> bool:
            for pod in pods.of(self.cluster, self.namespace, self.publishing):
                pods.end(self.cluster, pod)
            return self.phase() == "Succeeded"

        wait_for(look, f"{self.application}: the sync's end", programs=[self.argocd.controller])

    def phase(self) -> str | None:
        """Phase of the last or running operation."""
        return self.argocd.operation(self.application).get("phase")

    def reaches(self, phase: str) -> None:
        """Wait until the operation is in a phase."""
        wait_for(lambda: self.phase() == phase, f"{self.application}: phase {phase}", programs=[self.argocd.controller])

    def gone(self) -> None:
        """Wait until neither Application nor Jobs are left."""
        wait_for(lambda: self.argocd.application(self.application) is None, f"the end of {self.application}")
        wait_for(lambda: not self.jobs(), f"the end of the Jobs of {self.application}")

    def jobs(self) -> list[str]:
        """Names of its Jobs that are there."""
        found = self.cluster.list("Job", self.namespace, f"finetuning/run-id={self.run_id}")
        return sorted(job["metadata"]["name"] for job in found)
