"""Runs after the merge: where each stands, from git, the cluster and MLflow, asked as `ft status` asks.

git decides what was authorized (the overlay's lock, then the audit record); a run that git does not have yet waits for the
bot, or was refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tools.bot.report.logtail import Tail, published, tail
from tools.cluster.client import Cluster
from tools.cluster.faults import ClusterFault
from tools.cluster.look import Status, look
from tools.cluster.targets import Run
from tools.cluster.tracking import Away, Tracked, Tracking
from tools.errors import UsageError
from tools.expand.locks import of_experiment
from tools.expand.overlay import LOCK_FILE
from tools.formats import evaluation as evaluations
from tools.formats.audit import Audit, path
from tools.formats.evaluation import Evaluation
from tools.formats.lock import Lock
from tools.repository import Repository

State = Literal[
    "waiting",
    "refused",
    "authorized",
    "queued",
    "running",
    "publishing",
    "registered",
    "failed",
    "cancelled",
    "retired",
]
OVER: frozenset[State] = frozenset({"refused", "registered", "failed", "cancelled", "retired"})
Connect = Callable[[str], Cluster | ClusterFault]
# A phase of `ft status` -> the state that comment, verdicts and audit share.
_STATES: dict[str, State] = {
    "not-authorized": "waiting",
    "waiting-for-argo": "authorized",
    "queued": "queued",
    "pending": "queued",
    "running": "running",
    "resuming": "running",
    "publishing": "publishing",
    "finished": "registered",
    "failed": "failed",
    "cancelled": "cancelled",
}
_RESULTS: dict[str, State] = {"finished": "registered", "failed": "failed", "cancelled": "cancelled"}
_WHOLE = 100.0
_STOPPING = "it is cancelled: the bot removes its overlay, then Argo CD removes its Job"


@dataclass(frozen=True, slots=True)
class Promise:
    """A run that the comment showed before the merge."""

    environment: str
    tenant: str
    name: str
    run_id: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One run as it stands.

    reasons: of a refusal, a sentence each. publishes: the registered name, None where the adapter is the result. lock, record:
    git's, None where it has none.
    cause: of `tools.causes.CAUSES`, of a failed run. curve: (step, loss). registered: the model version with tags and aliases. tail: the end of the failed
    pod's log. published: steps of publishing that are done. verdict: what the version's evaluation found, by its tags.
    """

    promise: Promise
    state: State
    reason: str = ""
    remedy: str = ""
    cause: str = ""
    reasons: tuple[str, ...] = ()
    publishes: str | None = None
    lock: Lock | None = None
    record: Audit | None = None
    tracked: Tracked | None = None
    curve: tuple[tuple[int, float], ...] = ()
    evaluation: dict[str, float] = field(default_factory=dict)
    registered: dict[str, Any] | None = None
    verdict: Evaluation | None = None
    tail: Tail | None = None
    published: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def follow(
    repository: Repository, promises: Sequence[Promise], connect: Connect, tracking_uri: str | None
) -> list[Seen]:
    """Look at all runs of a merge request.

    repository: the target branch's overlays/, audit/ and experiments/ of these runs. connect: environment -> its cluster, or
    why there is none. tracking_uri: MLflow instead of the one that each lock names.
    """
    found = [_in_git(repository, promise) for promise in promises]
    running = [seen for seen in found if seen.lock is not None]
    looks = {
        seen.promise: seen
        for environment in sorted({seen.promise.environment for seen in running})
        for seen in _looked_at(
            repository,
            [seen for seen in running if seen.promise.environment == environment],
            connect(environment),
            tracking_uri,
        )
    }
    return [looks.get(seen.promise, seen) for seen in found]


def _in_git(repository: Repository, promise: Promise) -> Seen:
    """What git has of a run: its lock, else its record, else nothing yet."""
    record = repository.optional(path(promise.environment, promise.tenant, promise.run_id), Audit)
    record = record if record is not None and record.sha256 == promise.sha256 else None
    for folder in of_experiment(repository, promise.tenant, promise.name):
        lock = repository.optional(f"{folder}/{LOCK_FILE}", Lock)
        if lock is not None and lock.sha256 == promise.sha256:
            publish = lock.run.publish.model_name if lock.run.publish and lock.run.publish.merge else None
            return Seen(promise, "authorized", publishes=publish, lock=lock, record=record)
    if record is None:
        return Seen(promise, "waiting", "the bot has not authorized it yet")
    outcome = record.last.outcome
    name = outcome.registered.name if outcome and outcome.registered else None
    if outcome is None:
        return Seen(promise, "retired", "its overlay is gone", record=record)
    return Seen(promise, _RESULTS[outcome.result], outcome.cause or "", publishes=name, record=record)


def _looked_at(
    repository: Repository, seen: Sequence[Seen], cluster: Cluster | ClusterFault, tracking_uri: str | None
) -> Iterator[Seen]:
    runs = [_run(repository, each) for each in seen]
    try:
        found = look(runs, cluster, tracking_uri)
    except UsageError as error:  # the kubeconfig names another environment's cluster
        found = look(runs, ClusterFault(str(error)), tracking_uri)
    for each, status in zip(seen, found.statuses, strict=True):
        yield _with_tracking(_of(each, status, tuple(found.notes), cluster), tracking_uri)


def _run(repository: Repository, seen: Seen) -> Run:
    lock = seen.lock
    assert lock is not None
    run = lock.run
    file = f"experiments/{run.tenant}/{run.name}.yaml"
    written = repository.experiment(file).value if (repository.root / file).is_file() else None
    state = written.state if written is not None else lock.state
    overlay = f"overlays/{run.environment}/{run.tenant}/{run.name}"
    return Run(run.tenant, run.name, run.environment, run.namespace, state, overlay, lock)


def _of(seen: Seen, status: Status, notes: tuple[str, ...], cluster: Cluster | ClusterFault) -> Seen:
    verdict, tracked = status.verdict, status.seen.tracked
    if verdict.phase == "unknown":
        return replace(_by_mlflow(seen, tracked), notes=notes)
    state, reason, remedy = _STATES[verdict.phase], verdict.reason, verdict.remedy
    if state == "cancelled":  # its overlay is still there
        return replace(seen, state="waiting", reason=_STOPPING, tracked=tracked, notes=notes)
    end = tail(cluster, status.seen) if state == "failed" and isinstance(cluster, Cluster) else None
    if end is not None and end.cause and end.cause not in reason:  # else the pod's termination message has said it
        reason, remedy = f"{end.cause} ({reason})", end.remedy or remedy
    cause = (end.code if end is not None else "") or verdict.cause
    done = frozenset[str]()
    if state == "publishing" and isinstance(cluster, Cluster):
        done = published(cluster, status.seen)
    return replace(
        seen,
        state=state,
        reason=reason,
        remedy=remedy,
        cause=cause if state == "failed" else "",
        tracked=tracked,
        tail=end,
        published=done,
        notes=notes,
    )


def _by_mlflow(seen: Seen, tracked: Tracked | None) -> Seen:
    """Without the cluster: what MLflow alone shows."""
    reason = "the cluster cannot be read; this is what git and MLflow know"
    state: State = "authorized"
    if tracked is not None and tracked.percent is not None:
        state = "running" if tracked.percent < _WHOLE else "publishing"
    return replace(seen, state=state, reason=reason, tracked=tracked)


def _with_tracking(seen: Seen, tracking_uri: str | None) -> Seen:
    """The loss over the steps, and what an evaluation found."""
    if seen.tracked is None or seen.lock is None:
        return seen
    server = Tracking(tracking_uri or seen.lock.run.mlflow.tracking_uri)
    try:
        curve = tuple(server.history(seen.tracked.run_id, "loss"))
        evaluation = server.evaluation(seen.tracked.run_id) if seen.state in {"publishing", "registered"} else {}
        registered = server.registered(seen.lock) if seen.tracked.version else None
    except Away as error:
        return replace(seen, notes=(*seen.notes, f"MLflow: {error}"))
    tags = registered["tags"] if registered else {}
    verdict = evaluations.from_tag(tags.get(evaluations.RESULT_TAG, ""))
    if verdict is not None and verdict.run_sha256 != seen.lock.sha256:
        verdict = None
    return replace(seen, curve=curve, evaluation=evaluation, registered=registered, verdict=verdict)
