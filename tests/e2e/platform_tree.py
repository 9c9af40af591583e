"""This repository's own files as a platform of a test: its environment points at the test's git repository and key."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ruamel.yaml import YAML

from tests.e2e.cluster import Manifest, parsed
from tools.cli import main

ROOT = Path(__file__).resolve().parents[2]
CHAT = {"service": "mattermost", "recipient": "finetuning-{tenant}"}  # who is told, once notifications.py runs
_WRITTEN = ("base", "catalog", "environments", "experiments", "tenants")


def copy(target: Path, url: str, key_id: str) -> None:
    """Everything that people write and no overlay; volumes are NFS exports, as nothing provisions others here."""
    for name in _WRITTEN:
        shutil.copytree(ROOT / name, target / name)
    file = target / "environments" / "dev.yaml"
    yaml = YAML()
    environment = yaml.load(file)
    environment["git"] = {"url": url, "signing_keys": [key_id]}
    environment["storage"]["nfs"] = {"server": "nfs.example", "path": "/exports"}
    environment["notifications"] = dict(CHAT)
    yaml.dump(environment, file)


def add_tenant(platform: Path, name: str, like: str = "team-a") -> None:
    """Another tenant with the files of one that is there, and none of its experiments."""
    shutil.copytree(platform / "tenants" / like, platform / "tenants" / name)


def tenants(platform: Path) -> list[str]:
    """The tenants that it has by now."""
    return sorted(folder.name for folder in (platform / "tenants").iterdir())


def add_experiment(platform: Path, tenant: str, name: str) -> Path:
    """Another experiment with the text of exp-001; returns its file."""
    target = platform / "experiments" / tenant / f"{name}.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "experiments" / "team-a" / "exp-001.yaml", target)
    return target


def expand(platform: Path, *arguments: str) -> None:
    """Run `ft expand`."""
    assert main(["expand", *arguments, "--repo", str(platform)]) == 0


def render(kustomize: str, folder: Path) -> list[Manifest]:
    """The objects that a folder builds to, namespaces first."""
    built = subprocess.run([kustomize, "build", folder], check=True, capture_output=True, text=True)
    return sorted(parsed(built.stdout), key=lambda each: str(each["kind"]) != "Namespace")


def locked(platform: Path, tenant: str, name: str) -> tuple[str, int]:
    """Run id and attempt of an overlay."""
    lock = parsed((platform / "overlays/dev" / tenant / name / "run.yaml").read_text(encoding="utf-8"))[0]
    return lock["run_id"], lock["attempt"]
