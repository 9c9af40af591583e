"""The platform that is measured: control plane, Argo CD, a git server with webhooks, one tenant with room for everything."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ruamel.yaml import YAML

from tests.e2e import argocd as argo
from tests.e2e import argocd_server, binaries, control_plane, git_server, platform_tree, pods
from tests.e2e.argocd import ArgoCD
from tests.e2e.cluster import Cluster
from tests.e2e.git_server import GitServer
from tests.e2e.processes import Programs, wait_for
from tests.e2e.repositories import BRANCH, Repository, signing_key
from tests.e2e.scenario import Experiment

TENANT = "team-a"
_NAMESPACE = f"{TENANT}-training"
_PATIENCE = 1800.0  # seconds for hundreds of runs
_AT_ONCE = 100
_PAUSE = 2.0  # seconds between two lists of everything
_LOOK = 0.1  # seconds between two looks


class Site:
    """All of it, and the experiments that were committed to it."""

    def __init__(self, argocd: ArgoCD, repository: Repository, server: GitServer, hooks: tuple[str, str]) -> None:
        self.argocd = argocd
        self._cluster: Cluster = argocd.cluster
        self._repository = repository
        self._server = server
        self._hooks = hooks
        self._experiments: list[Experiment] = []
        self._pending: dict[str, float] = {}
        self._seconds: list[float] = []

    def commit(self, *, tell: bool = False) -> tuple[Experiment, float]:
        """Authorize and push one more experiment; returns it and when the push was done. Somebody tells Argo CD, or not."""
        (experiment,) = self._authorize(1)
        pushed = self._push(tell=tell)
        if not tell:
            self._pending[experiment.training] = pushed
        return experiment, pushed

    def until_started(self, committed: tuple[Experiment, float]) -> float:
        """Seconds from the push until the training Job was there."""
        experiment, pushed = committed
        experiment.started(experiment.training)
        return time.monotonic() - pushed

    def watch(self, seconds: float) -> None:
        """Note for a while which of the untold commits' Jobs come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            jobs = {job["metadata"]["name"] for job in self._cluster.list("Job", _NAMESPACE)}
            for name in jobs & self._pending.keys():
                self._seconds.append(time.monotonic() - self._pending.pop(name))
            time.sleep(_LOOK)

    def watched(self) -> list[float]:
        """Seconds of each, when all have come."""
        while self._pending:
            self.watch(_LOOK)
        return self._seconds

    def fill(self, number: int) -> None:
        """Go on until so many runs are finished, a hundred at a time."""
        while missing := number - len(self._experiments):
            self._authorize(min(missing, _AT_ONCE))
            self._push(tell=True)
            self.finish()

    def finish(self) -> None:
        """Let every pod succeed until every run is published and its sync has succeeded."""
        wait_for(self._finished, "the runs' ends", _PATIENCE, [self.argocd.controller])

    def retire(self) -> int:
        """Take all overlays out in one commit, wait until the Applications are gone, and return how many there were."""
        number = len(self._experiments)
        for experiment in self._experiments:
            self._repository.remove(experiment.folder)
        self._experiments.clear()
        self._push(tell=True)
        wait_for(lambda: not self._applications(), "the end of the Applications", _PATIENCE, [self.argocd.sets])
        return number

    def _authorize(self, number: int) -> list[Experiment]:
        work, first = self._repository.work, len(self._experiments) + 1
        names = [f"run-{index:04d}" for index in range(first, first + number)]
        files = [str(platform_tree.add_experiment(work, TENANT, name)) for name in names]
        platform_tree.expand(work, *files)
        made = [Experiment(self._cluster, self.argocd, self._repository, TENANT, name) for name in names]
        for experiment in made:
            experiment.run_id, experiment.attempt = platform_tree.locked(work, TENANT, experiment.name)
        self._experiments += made
        return made

    def _push(self, *, tell: bool) -> float:
        before = self._repository.head()
        after = self._repository.push("runs")
        pushed = time.monotonic()
        for hook in self._hooks if tell else ():
            self._server.tell(hook, BRANCH, before, after)
        return pushed

    def _finished(self) -> bool:
        waiting = f"/api/v1/namespaces/{_NAMESPACE}/pods?fieldSelector=status.phase%3DPending"
        for pod in self._cluster.call("GET", waiting)["items"]:
            pods.end(self._cluster, pod)
        time.sleep(_PAUSE)  # listing hundreds of Applications is work for the API server that is measured
        applications = self._applications()
        ended = [each.get("status", {}).get("operationState", {}).get("phase") == "Succeeded" for each in applications]
        return len(ended) == len(self._experiments) and all(ended)

    def _applications(self) -> list[dict[str, dict[str, dict[str, str]]]]:
        return self._cluster.list("Application", argo.NAMESPACE, "finetuning/experiment")


@contextmanager
def running(folder: Path) -> Iterator[Site]:
    """Start everything and stop it; the programs' logs are in `<folder>/log`."""
    built = binaries.existing()
    os.environ |= _polling(built.program("kustomize"))
    with ExitStack() as stack:
        programs = stack.enter_context(Programs(folder / "log"))
        cluster = control_plane.start(built, folder / "control-plane", programs).cluster
        key = stack.enter_context(signing_key(folder / "bot"))
        keys = {key.key_id: key.public}
        argocd = stack.enter_context(argo.running(built, cluster, folder / "argocd", programs, keys))
        repository = Repository(folder, key)
        server = stack.enter_context(git_server.serving(repository.bare))
        api = stack.enter_context(argocd_server.running(argocd))
        platform_tree.copy(repository.work, server.url, key.key_id)
        _make_room(repository.work / "tenants" / TENANT / "tenant.yaml")
        platform_tree.expand(repository.work, "--platform", "--tenants")
        repository.push("the platform")
        overlay = repository.work / "overlays" / "dev" / "_platform"
        cluster.apply(*platform_tree.render(built.program("kustomize"), overlay))
        argocd.settled("finetuning-platform")
        argocd.settled(f"finetuning-tenant-{TENANT}")
        hooks = (f"http://127.0.0.1:{argocd.ports.sets_webhook}/api/webhook", f"{api.url}/api/webhook")
        yield Site(argocd, repository, server, hooks)


def _polling(kustomize: str) -> dict[str, str]:
    """How often git is asked: Argo CD's Deployments take these settings of its ConfigMap into their environment."""
    config = platform_tree.render(kustomize, platform_tree.ROOT / "base" / "argocd" / "config")
    settings = next(each for each in config if each["metadata"]["name"] == "argocd-cm")["data"]
    names = {"timeout.reconciliation": "ARGOCD_RECONCILIATION_TIMEOUT"}
    names["timeout.reconciliation.jitter"] = "ARGOCD_RECONCILIATION_JITTER"
    return {variable: settings[name] for name, variable in names.items()}


def _make_room(tenant: Path) -> None:
    """A quota that nothing here reaches: the Job controller would wait longer and longer."""
    yaml = YAML()
    found = yaml.load(tenant)
    found["quota"] |= {"gpus": 2000, "jobs": 5000}
    yaml.dump(found, tenant)
