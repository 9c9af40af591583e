"""What must hold of every rendered object and no schema says: the pods' security, and Argo CD's annotations.

Argo CD takes a misspelt sync wave for 0 and drops an unknown hook-delete policy without a word, and a Job with a TTL,
Force or Replace is deleted and trained again; so these are faults here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from tools.render.documents import Manifest, hook, pod

# (path of the field, what was found, what is allowed)
Fact = tuple[str, str, str]

_ARGO = "argocd.argoproj.io/"
_IMAGE = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}\Z")
_LOWEST_ID = 10000
_LARGEST_CONFIGMAP = 256 * 1024
# What the publish Job alone may reach: models that are served, and the verdicts that let them be.
_PUBLISHES = ("/storage/models/merged-model", "/storage/evaluation")
_VOLUMES = frozenset({"configMap", "emptyDir", "persistentVolumeClaim"})
_SIGNING_KEY = "model-signing"  # the one Secret, and the publish Job alone may have it: models are signed there
_HOOKS = frozenset({"PreSync", "Sync", "PostSync", "SyncFail", "PostDelete", "Skip"})
_DELETE_POLICIES = frozenset({"HookSucceeded", "HookFailed", "BeforeHookCreation"})
_SYNC_OPTIONS = frozenset(
    {"Prune=false", "Delete=false", "Prune=confirm", "Delete=confirm", "ServerSideApply=true", "Validate=true"}
)
_APPLICATION = frozenset({"compare-options", "manifest-generate-paths"})
_POD = {
    "restartPolicy": "Never",
    "automountServiceAccountToken": False,
    "hostNetwork": None,
    "hostPID": None,
    "hostIPC": None,
    "securityContext.runAsNonRoot": True,
    "securityContext.seccompProfile.type": "RuntimeDefault",
}
_CONTAINER = {
    "command": None,
    "securityContext.allowPrivilegeEscalation": False,
    "securityContext.readOnlyRootFilesystem": True,
    "securityContext.privileged": None,
    "securityContext.capabilities.drop": ["ALL"],
    "securityContext.capabilities.add": None,
}
_JOB = {"spec.ttlSecondsAfterFinished": None, "spec.suspend": None}


def faults(manifest: Manifest) -> list[Fact]:
    """Every fact that does not hold of one object."""
    checks: list[Callable[[Manifest], Iterator[Fact]]] = [_annotations, _size]
    if manifest.get("kind") in {"Job", "JobSet"}:
        checks += [_job, _pod, _containers, _volumes]
    return [fact for check in checks for fact in check(manifest)]


def _annotations(manifest: Manifest) -> Iterator[Fact]:
    place = "metadata.annotations"
    for key, value in (manifest.get("metadata", {}).get("annotations") or {}).items():
        if not key.startswith(_ARGO) or (manifest.get("kind") == "Application" and key[len(_ARGO) :] in _APPLICATION):
            continue
        allowed = _annotation_values(key.removeprefix(_ARGO), str(value))
        if allowed:
            yield f"{place}.{key}", f'"{value}"', allowed


def _annotation_values(name: str, value: str) -> str | None:
    """What an annotation may hold, if it holds something else."""
    if name == "sync-wave":
        return None if re.fullmatch(r"-?\d{1,4}", value) else "a whole number"
    allowed = {"hook": _HOOKS, "hook-delete-policy": _DELETE_POLICIES, "sync-options": _SYNC_OPTIONS}.get(name)
    if allowed is None:
        return "no annotation of Argo CD but hook, hook-delete-policy, sync-wave and sync-options"
    return None if set(value.split(",")) <= allowed else ", ".join(sorted(allowed))


def _size(manifest: Manifest) -> Iterator[Fact]:
    """Client-side apply keeps a copy of the object in an annotation."""
    if manifest.get("kind") == "ConfigMap":
        size = sum(len(key) + len(str(value).encode()) for key, value in (manifest.get("data") or {}).items())
        if size > _LARGEST_CONFIGMAP:
            yield "data", f"{size} bytes", f"at most {_LARGEST_CONFIGMAP}"


def _job(manifest: Manifest) -> Iterator[Fact]:
    yield from _fields(manifest, _JOB, "")


def _pod(manifest: Manifest) -> Iterator[Fact]:
    spec, place = pod(manifest), "spec.template.spec."
    yield from _fields(spec, _POD, place)
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        number = _at(spec, f"securityContext.{name}")
        if not isinstance(number, int) or number < _LOWEST_ID:
            yield f"{place}securityContext.{name}", str(number), f"the tenant's id, {_LOWEST_ID} or higher"


def _containers(manifest: Manifest) -> Iterator[Fact]:
    spec = pod(manifest)
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind) or []):
            place = f"spec.template.spec.{kind}.{index}."
            yield from _fields(container, _CONTAINER, place)
            if not _IMAGE.match(str(container.get("image"))):
                yield f"{place}image", f'"{container.get("image")}"', "an image by digest (name@sha256:...)"
            if not hook(manifest):
                yield from _publishes_nothing(container, place)


def _publishes_nothing(container: Manifest, place: str) -> Iterator[Fact]:
    for mount in container.get("volumeMounts") or []:
        path = str(mount.get("mountPath")).rstrip("/") or "/"
        for kept in _PUBLISHES:
            if path == kept or path.startswith(f"{kept}/") or kept.startswith(path.rstrip("/") + "/"):
                yield f"{place}volumeMounts", path, f"no mount that reaches {kept} outside the publish Job"


def _volumes(manifest: Manifest) -> Iterator[Fact]:
    for index, volume in enumerate(pod(manifest).get("volumes") or []):
        kinds = set(volume) - {"name"}
        signing = hook(manifest) and kinds == {"secret"} and volume["secret"].get("secretName") == _SIGNING_KEY
        if not kinds <= _VOLUMES and not signing:
            yield f"spec.template.spec.volumes.{index}", ", ".join(sorted(kinds)), ", ".join(sorted(_VOLUMES))


def _fields(data: Manifest, expected: dict[str, Any], place: str) -> Iterator[Fact]:
    for path, value in expected.items():
        found = _at(data, path)
        if found != value or type(found) is not type(value):
            yield f"{place}{path}", "nothing" if found is None else str(found), _in_words(value)


def _at(data: Manifest, path: str) -> Any:
    value: Any = data
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _in_words(value: Any) -> str:
    if value is None:
        return "leave it out"
    return str(value).lower() if isinstance(value, bool) else str(value)
