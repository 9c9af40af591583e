"""The Kubernetes API's own schemas, from the package kubernetes-validate, compiled once for each kind and minor.

The strict variants are used: a key that the API does not know is a fault, where the API server itself would drop it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs

OLDEST_MINOR = 31
_FOLDER = re.compile(r"v1\.(\d+)\.\d+-local-strict")
# Kinds that Argo CD, JobSet, Kueue and External Secrets bring; the end-to-end tests apply them beside their own definitions.
CUSTOM = frozenset(
    {
        ("argoproj.io/v1alpha1", "AppProject"),
        ("argoproj.io/v1alpha1", "Application"),
        ("argoproj.io/v1alpha1", "ApplicationSet"),
        ("external-secrets.io/v1", "ExternalSecret"),
        ("jobset.x-k8s.io/v1alpha2", "JobSet"),
        ("kueue.x-k8s.io/v1beta1", "ClusterQueue"),
        ("kueue.x-k8s.io/v1beta1", "LocalQueue"),
        ("kueue.x-k8s.io/v1beta1", "ResourceFlavor"),
        ("kueue.x-k8s.io/v1beta1", "WorkloadPriorityClass"),
    }
)
_DOMAIN = re.compile(r"^([^./]*)(?:\.[^/]*)?/")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an object: where in it, what, and in which Kubernetes minors."""

    path: str
    message: str
    minors: tuple[int, ...]


@cache
def _folders() -> dict[int, str]:
    root = files("kubernetes_validate") / "kubernetes-json-schema"
    matches = (_FOLDER.fullmatch(entry.name) for entry in root.iterdir())
    return {int(match[1]): match[0] for match in matches if match and int(match[1]) >= OLDEST_MINOR}


@dataclass
class Schemas:
    """Validators of every minor from 1.31 that the package carries."""

    minors: tuple[int, ...] = field(default_factory=lambda: tuple(sorted(_folders())))

    def faults(self, manifest: dict[str, Any]) -> list[Fault]:
        """All faults of one object; one that several minors have is named once. Custom kinds have no schema here."""
        if (manifest.get("apiVersion"), manifest.get("kind")) in CUSTOM:
            return []
        found: dict[tuple[str, str], list[int]] = {}
        for minor in self.minors:
            for path, message in _faults(manifest, minor):
                found.setdefault((path, message), []).append(minor)
        return [Fault(path, message, tuple(minors)) for (path, message), minors in found.items()]


def in_words(minors: tuple[int, ...]) -> str:
    """`1.31-1.37`, as messages name minors."""
    first, last = f"1.{minors[0]}", f"1.{minors[-1]}"
    return first if first == last else f"{first}-{last}"


def _faults(manifest: dict[str, Any], minor: int) -> Iterator[tuple[str, str]]:
    kind, version = str(manifest.get("kind")), str(manifest.get("apiVersion"))
    validator = _validator(kind, version, minor)
    if validator is None:
        yield "kind", f"no kind {kind} of {version}"
        return
    if validator.is_valid(manifest):  # half the time of looking for errors
        return
    for error in validator.iter_errors(manifest):
        yield ".".join(map(str, error.instance_path)), error.message


@cache
def _validator(kind: str, version: str, minor: int) -> jsonschema_rs.Draft202012Validator | None:
    """The compiled schema of a kind, or None when the minor has no such kind."""
    if not kind.isalnum():
        return None
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / _folders()[minor]
    group = _DOMAIN.sub(r"\1-", version)
    entry = folder / f"{kind.lower()}-{group}.json"
    if "/" in group or not entry.is_file():
        return None
    return jsonschema_rs.Draft202012Validator(json.loads(entry.read_text()), registry=_definitions(minor))


@cache
def _definitions(minor: int) -> jsonschema_rs.Registry:
    """What the kinds' schemas of a minor refer to."""
    entry = files("kubernetes_validate") / "kubernetes-json-schema" / _folders()[minor] / "_definitions.json"
    definitions = json.loads(entry.read_text())
    return jsonschema_rs.Registry([(definitions["$id"], definitions)])
