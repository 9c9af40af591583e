"""What the checks look at: one environment's description, what its overlays ask for, and the live cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tools.cluster.client import Cluster, Json
from tools.cluster.faults import Missing
from tools.formats.environment import Environment


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object that an overlay asks for, and the overlay's folder."""

    manifest: Json
    folder: str

    @property
    def namespace(self) -> str | None:
        """Its namespace; None outside every namespace."""
        found = self.manifest["metadata"].get("namespace")
        return str(found) if found else None

    @property
    def subject(self) -> str:
        """`ConfigMap argocd/argocd-cm`."""
        name = str(self.manifest["metadata"]["name"])
        return f"{self.manifest['kind']} {self.namespace + '/' if self.namespace else ''}{name}"


@dataclass
class Site:
    """One cluster under examination.

    tenants: names of those with an overlay in this environment. namespaces: theirs, in the same order.
    """

    name: str
    environment: Environment
    cluster: Cluster
    wanted: Sequence[Wanted]
    tenants: Sequence[str]
    namespaces: Sequence[str]
    _resources: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

    def live(self, manifest: Json) -> Json | None:
        """The live object of the same kind and name, None when there is none.

        Raises:
            Missing: the cluster does not serve its kind.
            ClusterFault: it cannot be read.
        """
        version, meta = str(manifest["apiVersion"]), manifest["metadata"]
        plural = self.plural(version, str(manifest["kind"]))
        namespace = f"/namespaces/{meta['namespace']}" if meta.get("namespace") else ""
        return self.optional(f"{_base(version)}{namespace}/{plural}/{meta['name']}")

    def optional(self, path: str) -> Json | None:
        """The object at a path, None when there is none."""
        try:
            return self.cluster.get(path)
        except Missing:
            return None

    def plural(self, version: str, kind: str) -> str:
        """How a kind is called in paths.

        Raises:
            Missing: the cluster does not serve it.
        """
        if version not in self._resources:
            found = self.cluster.get(_base(version)).get("resources") or []
            self._resources[version] = {entry["kind"]: entry["name"] for entry in found if "/" not in entry["name"]}
        if kind not in self._resources[version]:
            raise Missing(f"kind {kind} of {version}")
        return self._resources[version][kind]


def _base(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"
