"""One look at several runs: cluster and MLflow asked together, one status each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tools.cluster import phases, reading
from tools.cluster.client import Cluster
from tools.cluster.faults import ClusterFault
from tools.cluster.observed import Observed, observe
from tools.cluster.phases import Verdict
from tools.cluster.targets import Run
from tools.cluster.tracking import Away, Tracked, Tracking, remedy

_THREADS = 8


@dataclass(frozen=True, slots=True)
class Status:
    """One run: what was seen, and what it means."""

    seen: Observed
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Look:
    """All of them.

    context, server: the cluster, empty without one.
    unreachable: why the cluster could not be read; None when it answered.
    """

    statuses: list[Status]
    context: str = ""
    server: str = ""
    unreachable: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """3 without a cluster, 1 when a run failed, else 0."""
        if self.unreachable is not None:
            return 3
        return int(any(status.verdict.phase == "failed" for status in self.statuses))


def look(runs: Sequence[Run], cluster: Cluster | ClusterFault, tracking_uri: str | None) -> Look:
    """Ask everybody about the runs.

    cluster: the connection, or why there is none.
    tracking_uri: MLflow instead of the one that each lock names.

    Raises:
        UsageError: the cluster is another environment's.
    """
    notes: list[str] = []
    seen: reading.Reading | None = None
    fault: str | None = str(cluster) if isinstance(cluster, ClusterFault) else None
    if isinstance(cluster, Cluster):
        try:
            seen = reading.read(cluster, runs)
            notes += seen.notes
        except ClusterFault as error:
            fault = str(error)
    tracked = _tracked(runs, tracking_uri, notes)
    observed = [observe(run, seen, tracked.get(run.lock.sha256) if run.lock else None) for run in runs]
    return Look(
        statuses=[Status(item, phases.derive(item)) for item in observed],
        context=cluster.context if isinstance(cluster, Cluster) else "",
        server=cluster.server if isinstance(cluster, Cluster) else "",
        unreachable=fault,
        notes=notes,
    )


def _tracked(runs: Sequence[Run], chosen: str | None, notes: list[str]) -> dict[str, Tracked]:
    """What MLflow knows, by the runs' hashes; a server that is away is asked once and noted."""
    chosen = chosen or os.environ.get("MLFLOW_TRACKING_URI")
    by_server: dict[str, list[Run]] = {}
    for run in runs:
        if run.lock is not None:
            by_server.setdefault(chosen or run.lock.run.mlflow.tracking_uri, []).append(run)
    found: dict[str, Tracked] = {}
    for uri, mine in by_server.items():
        try:
            found |= _of_server(Tracking(uri), mine)
        except Away as error:
            notes.append(f"MLflow: {error}; {remedy(uri)}")
    return found


def _of_server(server: Tracking, runs: Sequence[Run]) -> dict[str, Tracked]:
    """The first run alone: it shows whether the server answers at all."""
    wanted = [run.lock for run in runs if run.lock is not None]
    first = server.of(wanted[0])
    with ThreadPoolExecutor(_THREADS) as pool:
        answers = [first, *pool.map(server.of, wanted[1:])]
    return {lock.sha256: answer for lock, answer in zip(wanted, answers, strict=True) if answer is not None}
