"""One authorized run on a platform of its own, with stand-ins for its cluster and its MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from tests.audited import PLAIN, authorize
from tests.platform_copy import ROOT, expanded_platform
from tests.unit.cluster.standin import StandIn, kubeconfig, read, serving
from tools.bot.upkeep import watching
from tools.bot.upkeep.outcomes import Recorder
from tools.bot.upkeep.watching import Watched
from tools.cluster.client import Cluster
from tools.formats.audit import Audit, Outcome
from tools.formats.lock import Lock
from tools.repository import Repository

SCENARIOS = ROOT / "tests" / "fixtures" / "cluster" / "upkeep"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STARTED = "2026-11-23T07:59:00Z"
_API = "/api/2.0/mlflow/"


@dataclass
class Scene:
    """The platform, what its cluster answers and what MLflow answers."""

    platform: Path
    api: StandIn
    mlflow: StandIn
    cluster: Cluster

    @property
    def repository(self) -> Repository:
        """The platform as it is now."""
        return Repository(self.platform)

    @property
    def lock(self) -> Lock:
        """The run's lock."""
        return self.repository.lock(f"{PLAIN}/run.yaml")

    @property
    def record(self) -> Audit:
        """The run's record."""
        return watching.in_git(self.repository, "dev")[0].record

    def happens(self, scenario: str) -> None:
        """What the cluster holds from now on."""
        self.api.objects = read(SCENARIOS / f"{scenario}.yaml", RUN=self.lock.run_id)

    def logged(
        self,
        *,
        version: int | None,
        peaks: tuple[float, ...] = (3.0, 5.5, 5.0),
        metrics: Mapping[str, Sequence[tuple[int, float, float]]] = MappingProxyType({}),
    ) -> None:
        """What MLflow knows of the run from now on.

        peaks: GPU memory at each step in GiB. version: the registered one. metrics: others, as (step, seconds since 1970, value).
        """
        run = {"info": {"run_id": "0a1b"}, "data": {"metrics": [], "tags": []}}
        history = [
            {"key": "progress/gpu_memory_gib", "value": peak, "step": step, "timestamp": step}
            for step, peak in enumerate(peaks)
        ]
        history += [
            {"key": f"progress/{name}", "value": value, "step": step, "timestamp": seconds * 1000}
            for name, points in metrics.items()
            for step, seconds, value in points
        ]
        tags = [{"key": "run_sha256", "value": self.lock.sha256}]
        versions = [] if version is None else [{"version": str(version), "tags": tags}]
        self.mlflow.answers = {
            f"{_API}experiments/get-by-name": {"experiment": {"experiment_id": "7"}},
            f"{_API}runs/search": {"runs": [run]},
            f"{_API}metrics/get-history": {"metrics": history},
            f"{_API}model-versions/search": {"model_versions": versions},
        }

    def watched(self) -> Watched:
        """The run as a round sees it."""
        runs = watching.in_git(self.repository, "dev")
        (seen,) = watching.look_at(self.repository, runs, self.cluster, self.mlflow.url).runs
        return seen

    def updated(self) -> Audit | None:
        """The record that a round would write."""
        seen = self.watched()
        assert seen.status is not None
        return Recorder(NOW, self.mlflow.url).updated(seen.record, seen.status)


@contextmanager
def scene(folder: Path, ended: Outcome | None = None) -> Iterator[Scene]:
    """A scene below `folder`."""
    platform = expanded_platform(folder / "platform")
    authorize(platform, PLAIN, ended, at=STARTED)
    with ExitStack() as stack:
        api = stack.enter_context(serving(StandIn()))
        mlflow = stack.enter_context(serving(StandIn()))
        cluster = Cluster.connect(kubeconfig(folder, api.url))
        yield Scene(platform, api, mlflow, cluster)
