"""kustomize's output as data."""

from __future__ import annotations

from typing import Any

import yaml12

from tools.errors import ToolFault

Manifest = dict[str, Any]


def read(manifests: str) -> list[Manifest]:
    """The Kubernetes objects in a stream of YAML documents.

    Raises:
        ToolFault: the text is none that kustomize writes.
    """
    try:
        documents: Any = yaml12.parse_yaml(manifests, multi=True)
    except ValueError as error:
        raise ToolFault(f"kustomize's output is not readable: {error}") from error
    return [document for document in documents if isinstance(document, dict)]


def name(manifest: Manifest) -> str:
    """`Job exp-001-1a2b3c4d-a1`, as messages name an object."""
    return f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"


def pod(manifest: Manifest) -> Manifest:
    """The pod's spec inside a Job, or inside the one Job of a JobSet; empty for other kinds."""
    if manifest.get("kind") == "JobSet":
        manifest = {"kind": "Job", **manifest["spec"]["replicatedJobs"][0]["template"]}
    if manifest.get("kind") != "Job":
        return {}
    spec: Manifest = manifest.get("spec", {}).get("template", {}).get("spec", {})
    return spec


def hook(manifest: Manifest) -> str | None:
    """Argo CD's hook phase of an object, None for a plain resource."""
    annotations = manifest.get("metadata", {}).get("annotations") or {}
    phase: str | None = annotations.get("argocd.argoproj.io/hook")
    return phase
