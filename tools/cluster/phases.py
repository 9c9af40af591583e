"""One phase for each run, derived from everything that is known of it, with the reason and the remedy."""

from __future__ import annotations

from dataclasses import dataclass

from tools.causes import CAUSES, UNKNOWN
from tools.cluster import exits, objects, stalls, waiting
from tools.cluster.client import Json
from tools.cluster.observed import Observed
from tools.cluster.reasons import Reason

# Every phase and what it means; the documentation of `ft status` lists them in this order.
PHASES = {
    "not-authorized": "no overlay yet: the merge request is not approved and merged, or the bot has not seen it",
    "waiting-for-argo": "authorized, and Argo CD has not created the training Job",
    "queued": "the Job waits for quota: Kueue's queue, or the tenant's ResourceQuota",
    "pending": "the quota is there; the pod waits for a node, its image or its volumes",
    "running": "training",
    "resuming": "training was interrupted and goes on from its checkpoint as soon as a new pod runs",
    "publishing": "trained; merging, publishing and registering",
    "finished": "done: published and registered, or the adapter is there where nothing is published",
    "failed": "over without a result; `attempt` or a new experiment goes on",
    "cancelled": "stopped for good by `state: cancelled`",
    "unknown": "the cluster cannot be read",
}
_RETRY = 75
DONE = frozenset({"finished", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """A phase of `PHASES`, why the run is in it (empty where the phase says it all), and what to do.

    cause: a code of `tools.causes.CAUSES` where something went wrong; empty otherwise.
    """

    phase: str
    reason: str = ""
    remedy: str = ""
    cause: str = ""


def derive(seen: Observed) -> Verdict:
    """The phase of a run."""
    run = seen.run
    if run.state == "cancelled" or (run.lock is not None and run.lock.state == "cancelled"):
        return _cancelled(seen)
    if run.lock is None:
        return Verdict(
            "not-authorized",
            "no overlay holds it: the approval of its merge request is the authorization",
            "have the tenant's approvers approve and merge it; after that `git pull`",
        )
    return _in_cluster(seen) if seen.seen else _unseen(seen)


def _in_cluster(seen: Observed) -> Verdict:
    if seen.job is None:
        return Verdict("waiting-for-argo", *_pair(waiting.for_argo(seen)))
    if objects.condition(seen.job, "Complete"):
        return _after_training(seen)
    if (failed := objects.condition(seen.job, "Failed") or waiting.deactivated(seen)) is not None:
        return _failed(failed, seen.pods, "training")
    return _training(seen)


def _cancelled(seen: Observed) -> Verdict:
    if seen.job is not None and not _over(seen.job):
        return Verdict(
            "cancelled",
            "its Job is still there: the bot removes the overlay and ends Argo CD's operation",
            "`kubectl -n argocd get application` shows whether it is being deleted",
        )
    return Verdict("cancelled")


def _unseen(seen: Observed) -> Verdict:
    """Without the cluster, MLflow's registered version still proves that a run finished."""
    if seen.tracked is not None and seen.tracked.version is not None:
        return Verdict("finished", "MLflow has its registered version; the cluster was not asked")
    return Verdict(
        "unknown", "the cluster cannot be read", "`kubectl cluster-info` with the same kubeconfig and context"
    )


def _training(seen: Observed) -> Verdict:
    reason, holds = waiting.in_queue(seen)
    if holds:
        return Verdict("queued", *_pair(reason))
    if (lost := waiting.lost(seen)) is not None:
        return Verdict("resuming", lost.text, lost.remedy, "lost-node")
    if _runs(seen.pods):
        return Verdict("running", *stalls.reason(seen))
    why = waiting.for_pod(seen)
    if not waiting.began(seen):
        return Verdict("pending", *_pair(why))
    text = "; ".join(part for part in (waiting.last_end(seen), why.text) if part)
    ended = _ends(seen.pods)
    return Verdict("resuming", text, why.remedy, ended[-1].code if ended else "")


def _after_training(seen: Observed) -> Verdict:
    assert seen.run.lock is not None
    if seen.run.lock.run.publish is None:
        return Verdict("finished")
    if objects.condition(seen.hook, "Complete") or (seen.tracked is not None and seen.tracked.version is not None):
        return Verdict("finished")
    if (failed := objects.condition(seen.hook, "Failed")) is not None:
        return _failed(failed, seen.hook_pods, "publishing")
    if seen.hook is not None:
        why = Reason("") if _runs(seen.hook_pods) else waiting.for_hook(seen)
        return Verdict("publishing", *_pair(why))
    if waiting.operation_runs(seen) or not seen.may_read_applications:
        return Verdict("publishing", "Argo CD has not created the publish Job yet")
    return Verdict(
        "publishing",
        "training is complete, no publish Job exists and Argo CD runs no operation: nothing will start it by itself",
        f"the bot's reconciler syncs it again; by hand: `argocd app sync {seen.run.application}`",
    )


def _failed(condition: Json, pods: list[Json], what: str) -> Verdict:
    # Of a gang's ranks the one that refused says why; those that were stopped for it end with 75.
    ended = sorted(_ends(pods), key=lambda end: end.exit_code != _RETRY)
    text = f"{what} failed: {condition.get('reason', '')}"
    if ended:
        text += f", {ended[-1].words}"
    elif condition.get("message"):
        text += f", {condition['message']}"
    code = ended[-1].code if ended else UNKNOWN
    if condition.get("reason") == "DeadlineExceeded":
        remedy = "the Job's own deadline is over; a platform admin looks at what it waited for"
        return Verdict("failed", text, remedy, code)
    return Verdict("failed", text, ended[-1].remedy if ended else CAUSES[UNKNOWN].remedy, code)


def _ends(pods: list[Json]) -> list[exits.End]:
    """How the pods that did not succeed ended, oldest first."""
    ends = (exits.end_of(pod) for pod in pods)
    return [end for end in ends if end is not None and end.exit_code != 0]


def _over(job: Json) -> bool:
    return any(objects.condition(job, kind) for kind in ("Complete", "Failed"))


def _runs(pods: list[Json]) -> bool:
    return any(
        objects.at(pod, "status", "phase") == "Running" and not objects.at(pod, "metadata", "deletionTimestamp")
        for pod in pods
    )


def _pair(reason: Reason) -> tuple[str, str]:
    return reason.text, reason.remedy
