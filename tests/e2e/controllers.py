"""Manifests of a controller that runs on this machine instead of in a pod: its own, with its webhooks here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.e2e import platform_tree
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Manifest


def manifests(built: Cache, name: str, parts: Sequence[str], folder: Path, webhook: int) -> list[Manifest]:
    """Named and placed as the controller's releases are; its Service leads to the port `webhook` of this machine.

    parts: folders below its `config/components`. folder: for the kustomization.
    """
    components = built.files(name) / "config" / "components"
    kustomization = {
        "namespace": f"{name}-system",
        "namePrefix": f"{name}-",
        "resources": [os.path.relpath(components / part, folder) for part in parts],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    found = platform_tree.render(built.program("kustomize"), folder)
    for manifest in found:
        if manifest["kind"] == "Service":
            manifest["spec"] = {"type": "ExternalName", "externalName": "localhost"}
        for each in manifest.get("webhooks", []):
            each["clientConfig"]["service"]["port"] = webhook
    return found
