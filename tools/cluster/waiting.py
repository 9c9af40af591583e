"""What a run waits for, read from its Application, Workload, Job, pods and events."""

from __future__ import annotations

from tools.cluster import exits, objects, reasons
from tools.cluster.client import Json
from tools.cluster.observed import Observed
from tools.cluster.reasons import Reason

_ENDED = ("Succeeded", "Failed")
_BAD = ("Failed", "Error")
_DOCTOR = "a platform admin finds what is missing with `ft doctor cluster`"


def operation_runs(seen: Observed) -> bool:
    """Whether Argo CD is in the middle of a sync."""
    return objects.at(seen.application, "status", "operationState", "phase") in {"Running", "Terminating"}


def for_argo(seen: Observed) -> Reason:
    """Why there is no training Job."""
    if not seen.may_read_applications:
        return Reason(f"there is no Job {seen.job_name}, and Argo CD's Applications cannot be read", _DOCTOR)
    if seen.application is None:
        return Reason(
            f"Argo CD has no Application {seen.run.application} yet; it lists git every minute or two, with a webhook at once",
            f"if it stays away: is {seen.run.overlay} on the branch deployed/{seen.run.environment}? {_DOCTOR}",
        )
    if (message := _complaint(seen.application)) is not None:
        return reasons.argocd(message)
    state = objects.at(seen.application, "status", "operationState") or {}
    if operation_runs(seen):
        return Reason(
            f"Argo CD still works on an earlier state: {reasons.one_line(str(state.get('message', '')))}",
            f"it goes on by itself when that ends; `argocd app terminate-op {seen.run.application}` ends it",
        )
    if objects.at(seen.application, "status", "sync", "status") == "Synced":
        return Reason(
            "Argo CD calls the Application Synced and the Job is not there: it follows another commit, or the Job was "
            "deleted by hand",
            f"`argocd app get {seen.run.application} --refresh`; {_DOCTOR}",
        )
    return Reason(f"Argo CD has not applied {seen.run.overlay} yet")


def _complaint(application: Json) -> str | None:
    """What Argo CD itself calls wrong: a condition of the Application, a resource that it could not apply, a failed sync."""
    state = objects.at(application, "status", "operationState") or {}
    failed = [
        str(entry.get("message"))
        for entry in objects.at(state, "syncResult", "resources") or []
        if entry.get("status") == "SyncFailed" and entry.get("message")
    ]
    conditions = [
        str(entry.get("message"))
        for entry in objects.at(application, "status", "conditions") or []
        if str(entry.get("type", "")).endswith("Error")
    ]
    operation = [str(state.get("message"))] if state.get("phase") in _BAD else []
    return next(iter(failed + conditions + operation), None)


def in_queue(seen: Observed) -> tuple[Reason, bool]:
    """Why the Job waits for quota, and whether it does."""
    if objects.at(seen.job, "spec", "suspend"):
        return _in_kueue(seen), True
    if not _alive(seen.pods) and (message := _refusal(seen, seen.job)) is not None:
        found = reasons.quota(message)
        return found or Reason(""), found is not None
    return Reason(""), False


def _in_kueue(seen: Observed) -> Reason:
    if seen.workload is None:
        queue = objects.labels(seen.job or {}).get("kueue.x-k8s.io/queue-name")
        if queue is None:
            return Reason("the Job is suspended, and no queue would resume it", _DOCTOR)
        return Reason(f"Kueue has made no Workload for it (queue {queue})", _DOCTOR)
    parts = []
    if seen.place is not None:
        place = f"position {seen.place.position} of {seen.place.length} in the queue"
        parts.append(place if seen.place.exact else f"{place} (counted by priority and age)")
    if (evicted := objects.condition(seen.workload, "Evicted")) is not None:
        parts.append(f"evicted ({evicted.get('reason')}): {reasons.one_line(str(evicted.get('message', '')))}")
    reserved = objects.any_condition(seen.workload, "QuotaReserved")
    if reserved is not None and reserved.get("status") != "True" and reserved.get("message"):
        parts.append(reasons.one_line(str(reserved["message"])))
    inadmissible = reserved is not None and reserved.get("reason") == "Inadmissible"
    return Reason(
        "; ".join(parts) or "Kueue has not looked at it yet",
        _DOCTOR if inadmissible else "it starts by itself in its turn",
    )


def deactivated(seen: Observed) -> Json | None:
    """Kueue's final no to a Workload (maximum execution time, too many retries), shaped as a failed condition."""
    if seen.workload is None or objects.at(seen.workload, "spec", "active") is not False:
        return None
    evicted = objects.any_condition(seen.workload, "Evicted") or {}
    return {"reason": "DeactivatedByKueue", "message": evicted.get("message") or evicted.get("reason") or ""}


def for_pod(seen: Observed) -> Reason:
    """Why no pod of the training Job runs."""
    leaving = [pod for pod in seen.pods if objects.at(pod, "metadata", "deletionTimestamp") and not _over(pod)]
    if leaving:
        return _leaving(leaving[-1])
    return _for_pod(seen, seen.job, seen.pods)


def for_hook(seen: Observed) -> Reason:
    """Why no pod of the publish Job runs."""
    return _for_pod(seen, seen.hook, seen.hook_pods)


def began(seen: Observed) -> bool:
    """Whether training ran before in this attempt or, as MLflow knows, in an earlier one."""
    ended = int(objects.at(seen.job, "status", "failed") or 0) > 0 or any(_over(pod) for pod in seen.pods)
    leaving = any(objects.at(pod, "metadata", "deletionTimestamp") for pod in seen.pods)
    return ended or leaving or bool(seen.tracked is not None and seen.tracked.percent)


def last_end(seen: Observed) -> str:
    """Why the last pod of the training Job ended, in words; empty when none has."""
    over = [pod for pod in seen.pods if _over(pod)]
    if not over:
        return ""
    disrupted = objects.condition(over[-1], "DisruptionTarget")
    end = exits.end_of(over[-1])
    parts = [str(disrupted.get("reason"))] if disrupted else []
    parts += [end.words] if end is not None else []
    return f"the last pod ended ({', '.join(parts)})" if parts else "the last pod ended"


def exit_code(pod: Json) -> int | None:
    """Exit code of a pod's container, None while it runs."""
    ended = exits.terminated(pod)
    return int(ended["exitCode"]) if ended is not None and ended.get("exitCode") is not None else None


def lost(seen: Observed) -> Reason | None:
    """Where a pod of the training Job is on a node that does not answer: which, and what to do."""
    for pod in seen.pods:
        if not _over(pod) and exits.node_is_lost(pod, seen.about(pod)):
            node = objects.at(pod, "spec", "nodeName") or "its node"
            return Reason(f"node {node} of pod {objects.name(pod)} does not answer", _taint(node))
    return None


def _for_pod(seen: Observed, job: Json | None, pods: list[Json]) -> Reason:
    alive = _alive(pods)
    if not alive:
        message = _refusal(seen, job)
        return reasons.refused(message) if message else Reason("its next pod is about to be created")
    pod = alive[-1]
    scheduled = objects.any_condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        return reasons.unschedulable(str(scheduled.get("message", "")))
    if not objects.at(pod, "spec", "nodeName"):
        return Reason("the scheduler has not looked at the pod yet")
    for status in objects.at(pod, "status", "containerStatuses") or []:
        if (state := objects.at(status, "state", "waiting")) is not None:
            return _with_mount(seen, pod, str(state.get("reason", "")), str(state.get("message", "")))
    return _with_mount(seen, pod, "", "")


def _with_mount(seen: Observed, pod: Json, reason: str, message: str) -> Reason:
    """A volume that does not mount shows in the events only."""
    mounts = [event for event in seen.about(pod) if event.get("reason") in {"FailedMount", "FailedAttachVolume"}]
    if mounts and reason in {"", "ContainerCreating", "PodInitializing"}:
        return Reason(
            f"a volume does not mount on {objects.at(pod, 'spec', 'nodeName')}: "
            f"{reasons.one_line(str(mounts[-1].get('message', '')))}",
            _DOCTOR,
        )
    return reasons.waiting(reason, message)


def _leaving(pod: Json) -> Reason:
    node = objects.at(pod, "spec", "nodeName") or "its node"
    return Reason(f"pod {objects.name(pod)} is ending on {node}; no second pod starts before it is gone", _taint(node))


def _taint(node: str) -> str:
    return f"if {node} is lost for good: `kubectl taint nodes {node} node.kubernetes.io/out-of-service=lost:NoExecute`"


def _refusal(seen: Observed, job: Json | None) -> str | None:
    """The newest complaint of the Job controller that it may not create a pod, unless pods came after it."""
    found = [event for event in seen.about(job) if event.get("reason") in {"FailedCreate", "SuccessfulCreate"}]
    if not found or found[-1].get("reason") != "FailedCreate":
        return None
    return str(found[-1].get("message", ""))


def _alive(pods: list[Json]) -> list[Json]:
    return [pod for pod in pods if not _over(pod)]


def _over(pod: Json) -> bool:
    return objects.at(pod, "status", "phase") in _ENDED
