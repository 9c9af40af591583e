"""What is known of one run at one moment: git's part, the cluster's part, MLflow's part."""

from __future__ import annotations

from dataclasses import dataclass, field

from tools.cluster import gangs, objects
from tools.cluster.client import Json
from tools.cluster.kueue import Place
from tools.cluster.reading import Namespace, Reading
from tools.cluster.targets import Run
from tools.cluster.tracking import Tracked
from tools.formats.lock import Lock

_HOOK = "publish"


@dataclass(frozen=True, slots=True)
class Observed:
    """One run. A part is None or empty where it is not there.

    seen: whether the cluster could be read at all.
    pods, hook_pods: oldest first.
    events: those about the run's objects, oldest first.
    """

    run: Run
    seen: bool
    may_read_applications: bool = True
    application: Json | None = None
    job: Json | None = None
    hook: Json | None = None
    pods: list[Json] = field(default_factory=list)
    hook_pods: list[Json] = field(default_factory=list)
    workload: Json | None = None
    place: Place | None = None
    events: list[Json] = field(default_factory=list)
    tracked: Tracked | None = None

    @property
    def job_name(self) -> str:
        """Name of the training Job of this attempt."""
        assert self.run.lock is not None
        return self.run.lock.job_name

    def about(self, *items: Json | None) -> list[Json]:
        """The events about these objects, oldest first."""
        uids = {objects.at(item, "metadata", "uid") for item in items if item}
        return [event for event in self.events if objects.at(event, "involvedObject", "uid") in uids]


def observe(run: Run, reading: Reading | None, tracked: Tracked | None) -> Observed:
    """Pick out of a reading what belongs to one run."""
    space = reading.namespaces.get(run.namespace) if reading is not None else None
    if run.lock is None or reading is None or space is None or not space.readable:
        return Observed(run, seen=False, tracked=tracked)
    job, inside, events = _training(space, run.lock)
    hook = _named(space.jobs, f"{run.lock.run_id}-{_HOOK}")
    pods, hook_pods = _pods(space, inside), _pods(space, hook)
    workload = next(iter(objects.owned_by(space.workloads, job)), None) if job else None
    mine = [item for item in (job, hook, workload, *pods, *hook_pods) if item is not None]
    return Observed(
        run=run,
        seen=True,
        may_read_applications=reading.may_read_applications,
        application=reading.applications.get(run.application),
        job=job,
        hook=hook,
        pods=pods,
        hook_pods=hook_pods,
        workload=workload,
        place=space.places.get(objects.name(workload)) if workload else None,
        events=_events(events, mine),
        tracked=tracked,
    )


def last_seen(event: Json) -> str:
    """When an event happened last, sortable as text."""
    times = (
        objects.at(event, "series", "lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        objects.created(event),
    )
    return str(next((time for time in times if time), ""))


def _training(space: Namespace, lock: Lock) -> tuple[Json | None, Json | None, list[Json]]:
    """The training Job, or the JobSet as one; the Job that owns the pods; and the namespace's events."""
    if lock.run.resources.nodes == 1:
        job = _named(space.jobs, lock.job_name)
        return job, job, space.events
    jobset = _named(space.jobsets, lock.job_name)
    if jobset is None:
        return None, None, space.events
    inside = gangs.job_of(jobset, space.jobs)
    return gangs.as_job(jobset, inside), inside, gangs.told_of(space.events, inside, jobset)


def _named(jobs: list[Json], name: str) -> Json | None:
    return next((job for job in jobs if objects.name(job) == name), None)


def _pods(space: Namespace, job: Json | None) -> list[Json]:
    return sorted(objects.owned_by(space.pods, job), key=objects.created) if job else []


def _events(events: list[Json], items: list[Json]) -> list[Json]:
    uids = {objects.at(item, "metadata", "uid") for item in items}
    found = [event for event in events if objects.at(event, "involvedObject", "uid") in uids]
    return sorted(found, key=last_seen)
