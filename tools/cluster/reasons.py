"""Why something waits or failed, in words, and what to do: from the messages of Kubernetes, Kueue and Argo CD."""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUOTA = re.compile(
    r"exceeded quota: (?P<quota>\S+), requested: (?P<asked>\S+), used: (?P<used>\S+), limited: (?P<limit>[^\s\"]+)"
)
_DENIED = re.compile(r"ValidatingAdmissionPolicy '(?P<policy>[^']+)'.* denied request: (?P<why>.*)", re.DOTALL)
_DOCTOR = "a platform admin finds what is missing with `ft doctor cluster`"
# part of the scheduler's message -> what a person can do
_SCHEDULING = (
    ("Insufficient nvidia.com/gpu", "it starts by itself when GPUs come free; nothing to do"),
    ("Insufficient ", "it starts by itself when running pods end; `kubectl describe nodes` shows who uses what"),
    ("unbound immediate PersistentVolumeClaims", f"the tenant's storage is not bound: {_DOCTOR}"),
    ("didn't match Pod's node affinity/selector", f"no node has the labels that the run asks for: {_DOCTOR}"),
    ("untolerated taint", f"the nodes that would do are closed (drained or broken): {_DOCTOR}"),
    ("no nodes available", f"the cluster has no node: {_DOCTOR}"),
)
# reason of a waiting container -> what happened, what to do
_WAITING = {
    "ErrImagePull": ("the node cannot fetch the image", "`image` in environments/ must name one that the nodes reach"),
    "ImagePullBackOff": (
        "the node cannot fetch the image",
        "`image` in environments/ must name one that the nodes reach",
    ),
    "InvalidImageName": ("the image's name is wrong", "a platform admin corrects `image` in environments/"),
    "CreateContainerConfigError": ("a Secret or ConfigMap is missing or wrong", _DOCTOR),
    "CreateContainerError": ("the container cannot be made", _DOCTOR),
    "RunContainerError": ("the container does not start", _DOCTOR),
    "CrashLoopBackOff": ("the container ends again and again", "read the pod's log"),
}
_ARGOCD = (
    (
        "is not signed",
        "only commits of the bot's key are applied; a platform admin looks at the branch deployed/<env> and the bot",
    ),
    ("not permitted in project", f"the tenant's AppProject forbids it: {_DOCTOR}"),
    ("do not match any of the allowed destinations", f"the tenant's AppProject forbids it: {_DOCTOR}"),
    ("connection refused", "a platform admin checks Argo CD's repo-server and the git server"),
    ("failed to list refs", "a platform admin checks that Argo CD reaches the git server"),
    ("the server could not find the requested resource", f"a kind is not installed: {_DOCTOR}"),
)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, and what to do about it (empty: nothing)."""

    text: str
    remedy: str = ""


def quota(message: str) -> Reason | None:
    """Quota exhaustion as Kubernetes words it; None for any other message."""
    match = _QUOTA.search(message)
    if match is None:
        return None
    used, limit = _amounts(match["used"]), _amounts(match["limit"])
    parts = [
        f"{name}: asks for {asked}, {used.get(name, '?')} of {limit.get(name, '?')} in use"
        for name, asked in _amounts(match["asked"]).items()
    ]
    return Reason(
        f"the tenant's quota {match['quota']} is used up ({'; '.join(parts)})",
        "it starts by itself when another run of the tenant ends (`ft status TENANT` lists them); a larger `quota:` in "
        "tenants/<tenant>/tenant.yaml is a platform admin's merge request",
    )


def refused(message: str) -> Reason:
    """Why the API server did not let an object be created."""
    if (found := quota(message)) is not None:
        return found
    if (match := _DENIED.search(message)) is not None:
        return Reason(f"the cluster's policy {match['policy']} refuses it: {' '.join(match['why'].split())}", _DOCTOR)
    return Reason(f"the cluster refuses it: {one_line(message)}", _DOCTOR)


def unschedulable(message: str) -> Reason:
    """Why no node takes the pod."""
    remedy = next((remedy for part, remedy in _SCHEDULING if part in message), "")
    return Reason(f"no node can take the pod: {one_line(message)}", remedy)


def waiting(reason: str, message: str) -> Reason:
    """Why a container does not start."""
    known = _WAITING.get(reason)
    if known is None:
        return Reason(f"the container starts ({reason})" if reason else "the container starts")
    return Reason(f"{known[0]} ({reason}: {one_line(message)})" if message else f"{known[0]} ({reason})", known[1])


def argocd(message: str) -> Reason:
    """Why Argo CD does not apply the overlay."""
    if (found := quota(message)) is not None:
        return Reason(
            found.text, "Argo CD tries a few times only: let a finished run be retired, then `argocd app sync` it"
        )
    if _DENIED.search(message):
        return refused(message)
    remedy = next((remedy for part, remedy in _ARGOCD if part in message), _DOCTOR)
    return Reason(f"Argo CD: {one_line(message)}", remedy)


def one_line(message: str, length: int = 400) -> str:
    """A message without its line breaks, cut where it goes on for pages."""
    text = " ".join(message.split())
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _amounts(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(","))
    return {name: amount for name, _, amount in pairs}
