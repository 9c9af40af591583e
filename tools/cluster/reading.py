"""Everything that one look at a cluster needs for a set of runs: each namespace's objects, and Argo CD's Applications.

What may not be read becomes a note, not a failure: a tenant's people see their namespace and little else.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tools.cluster import gangs, kueue, objects
from tools.cluster.client import Cluster, Json
from tools.cluster.faults import ClusterFault, Missing, Refused
from tools.cluster.targets import Run
from tools.errors import UsageError

ARGOCD = "argocd"
APPLICATIONS = f"/apis/argoproj.io/v1alpha1/namespaces/{ARGOCD}/applications"
LIMITS = "tenant-limits"
_JOBS = "the Jobs"
_THREADS = 8
# Above this many, one list is cheaper than asking for each.
_FEW = 8


@dataclass
class Namespace:
    """What one tenant namespace held at one moment; lists are empty where they may not be read.

    readable: whether the Jobs could be read, without which nothing can be said of a run.
    """

    name: str
    readable: bool = True
    jobs: list[Json] = field(default_factory=list)
    jobsets: list[Json] = field(default_factory=list)
    pods: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    workloads: list[Json] = field(default_factory=list)
    places: dict[str, kueue.Place] = field(default_factory=dict)


@dataclass
class Reading:
    """One look at a cluster that answers."""

    context: str
    server: str
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    applications: dict[str, Json] = field(default_factory=dict)
    may_read_applications: bool = True
    notes: list[str] = field(default_factory=list)


def read(cluster: Cluster, runs: Sequence[Run]) -> Reading:
    """Look at everything that belongs to the runs.

    Raises:
        UsageError: the cluster is another environment's.
        Unreachable: it does not answer.
    """
    reading = Reading(cluster.context, cluster.server)
    authorized = [run for run in runs if run.lock is not None]
    # First and alone: it says whether there is a server, and a login that asks the person asks once.
    version = kueue.version(cluster)
    with ThreadPoolExecutor(_THREADS) as pool:
        names = sorted({run.namespace for run in authorized})
        several = {run.namespace for run in authorized if run.lock is not None and run.lock.run.resources.nodes > 1}
        environments = {run.namespace: run.environment for run in authorized}
        spaces = [
            pool.submit(_namespace, cluster, name, environments[name], version, reading.notes, gang=name in several)
            for name in names
        ]
        apps = pool.submit(_applications, cluster, authorized, reading)
        reading.namespaces = {space.result().name: space.result() for space in spaces}
        reading.applications = apps.result()
    reading.notes = list(dict.fromkeys(reading.notes))
    return reading


def _namespace(
    cluster: Cluster, name: str, environment: str, version: str | None, notes: list[str], *, gang: bool
) -> Namespace:
    """gang: whether a run on several nodes is looked for; clusters without any need no JobSet."""
    _right_cluster(cluster, name, environment)
    space = Namespace(name)

    def listed(what: str, path: str) -> list[Json]:
        try:
            return cluster.items(path)
        except (Refused, Missing) as error:
            notes.append(_in_words(f"{what} of namespace {name}", error))
            space.readable = space.readable and what != _JOBS
            return []

    space.jobs = listed(_JOBS, f"/apis/batch/v1/namespaces/{name}/jobs")
    if gang:
        space.jobsets = listed("the JobSets", f"{gangs.API}/namespaces/{name}/jobsets")
    space.pods = listed("the pods", f"/api/v1/namespaces/{name}/pods")
    space.events = listed("the events", f"/api/v1/namespaces/{name}/events")
    if version:
        space.workloads = listed("Kueue's Workloads", f"/apis/kueue.x-k8s.io/{version}/namespaces/{name}/workloads")
        space.places = kueue.places(cluster, name, space.workloads)
    return space


def _right_cluster(cluster: Cluster, namespace: str, environment: str) -> None:
    """Another environment's cluster has namespaces of the same names: what it says would be about other runs."""
    try:
        limits = cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/{LIMITS}")
    except (Missing, Refused):
        return
    found = objects.at(limits, "data", "environment")
    if found and found != environment:
        raise UsageError(
            f"context {cluster.context} is the cluster of environment {found}, the run belongs to {environment}; "
            "give --context NAME (`kubectl config get-contexts` lists them)"
        )


def _applications(cluster: Cluster, runs: Sequence[Run], reading: Reading) -> dict[str, Json]:
    wanted = {run.application for run in runs}
    try:
        if len(wanted) > _FEW:
            found = cluster.items(APPLICATIONS)
        else:
            found = [app for name in sorted(wanted) if (app := _optional(cluster, f"{APPLICATIONS}/{name}"))]
    except Refused as error:
        reading.may_read_applications = False
        reading.notes.append(_in_words("Argo CD's Applications", error))
        return {}
    return {objects.name(app): app for app in found if objects.name(app) in wanted}


def _optional(cluster: Cluster, path: str) -> Json | None:
    try:
        return cluster.get(path)
    except Missing:
        return None


def _in_words(what: str, error: ClusterFault) -> str:
    return f"{what} cannot be read: {error}"
