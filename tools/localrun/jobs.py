"""The Jobs among rendered objects in the order in which Argo CD starts them, and the ConfigMaps they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.errors import ToolFault
from tools.render.documents import Manifest, hook, pod

_PHASES = ("PreSync", None, "PostSync")


@dataclass(frozen=True, slots=True)
class Rendered:
    """What an overlay builds to, as far as a machine without a cluster can run it."""

    jobs: Sequence[Manifest]
    configmaps: dict[str, dict[str, str]]


def order(manifests: Sequence[Manifest]) -> Rendered:
    """Jobs by phase: before the sync, with it, after it.

    Raises:
        ToolFault: an object that only a cluster can run.
    """
    jobs, configmaps = [], {}
    for manifest in manifests:
        kind, name = manifest.get("kind"), manifest["metadata"]["name"]
        if kind == "Job" and hook(manifest) in _PHASES and len(pod(manifest).get("containers", [])) == 1:
            jobs.append(manifest)
        elif kind == "ConfigMap":
            configmaps[name] = manifest.get("data") or {}
        else:
            raise ToolFault(
                f"{kind} {name} cannot run without a cluster; allowed: ConfigMaps and Jobs of one container"
            )
    return Rendered(sorted(jobs, key=lambda job: _PHASES.index(hook(job))), configmaps)


def is_hook(job: Manifest) -> bool:
    """Whether a Job runs after the sync: the one that merges, publishes and registers."""
    return hook(job) == "PostSync"
