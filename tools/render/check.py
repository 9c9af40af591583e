"""Builds overlays and checks every object that comes out: the API's schemas of every minor, and the facts no schema says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.expand.platform import PLATFORM
from tools.expand.tenant import TENANTS
from tools.findings import Finding, compose
from tools.render import facts, kustomizer
from tools.render.documents import Manifest, name, read
from tools.render.kustomize import Kustomize
from tools.render.kustomizer import Objects
from tools.render.schemas import Schemas, in_words
from tools.repository import Repository
from tools.validate import Result

_REMEDY = "the overlay is generated: mend base/ or tools/expand, see `ft expand --check`"


def check(repository: Repository, overlays: Sequence[str]) -> Result:
    """All faults of what the overlays (folders below the root) build to, sorted by place.

    Raises:
        ToolFault: there is no kustomize, or it does not start.
    """
    schemas = Schemas()
    findings = sorted(finding for built in _build(repository.root, overlays) for finding in _built(built, schemas))
    return Result(list(overlays), findings)


def _build(root: Path, overlays: Sequence[str]) -> Iterator[Objects]:
    """All overlays, by the quickest way there is."""
    if program := kustomizer.find():
        yield from kustomizer.build(program, root, overlays)
        return
    for built in Kustomize.find().build(root, overlays):
        yield Objects(built.overlays, [] if built.fault else read(built.manifests), built.fault)


def _built(built: Objects, schemas: Schemas) -> Iterator[Finding]:
    if built.fault is not None:
        message = compose(f"kustomize cannot build it: {built.fault}", None, _REMEDY)
        yield _finding(built.overlays[0], "render-build", message)
        return
    owners = {(overlay.split("/")[-2], overlay.split("/")[-1]): overlay for overlay in built.overlays}
    for manifest in built.manifests:
        yield from _manifest(owners.get(_owner(manifest), built.overlays[0]), manifest, schemas)
    seen = {_owner(manifest) for manifest in built.manifests}
    for owner, overlay in owners.items():
        if owner not in seen:
            yield _finding(overlay, "render-objects", compose("it builds to nothing", "at least one object", _REMEDY))


def _owner(manifest: Manifest) -> tuple[str, str]:
    """The last two parts of the folder of the overlay that an object comes from, as its labels say them."""
    labels = manifest.get("metadata", {}).get("labels") or {}
    if "finetuning/tenant" not in labels:
        return (str(labels.get("finetuning/environment")), PLATFORM)
    owner = str(labels["finetuning/tenant"])
    experiment = labels.get("finetuning/experiment")
    return (owner, str(experiment)) if experiment else (TENANTS, owner)


def _manifest(overlay: str, manifest: Manifest, schemas: Schemas) -> Iterator[Finding]:
    title = name(manifest)
    for fault in schemas.faults(manifest):
        found = f"{title}: {fault.path or 'object'}: {fault.message} (Kubernetes {in_words(fault.minors)})"
        yield _finding(overlay, "render-schema", compose(found, "what the Kubernetes API takes", _REMEDY))
    for path, found, allowed in facts.faults(manifest):
        yield _finding(overlay, "render-facts", compose(f"{title}: {path}: {found}", allowed, _REMEDY))


def _finding(overlay: str, rule: str, message: str) -> Finding:
    return Finding(f"{overlay}/kustomization.yaml", 1, 1, rule, "error", message)
