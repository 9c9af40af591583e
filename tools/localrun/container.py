"""The process that a Job's container becomes: arguments, environment and working folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import ToolFault
from tools.localrun.image import ENTRYPOINT, ENVIRONMENT
from tools.localrun.sandbox import Sandbox
from tools.render.documents import Manifest, pod

# Of the user's own environment a container would see nothing; these tell programs where this machine keeps things.
_INHERITED = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
# Files that a cluster mounts from a Secret, and a user may name here.
_FILES = ("MODEL_SIGNING_KEY",)
_GPU = "nvidia.com/gpu"
_CODE = Path(__file__).resolve().parents[2]  # where the packages `tools` and `runner` lie


@dataclass(frozen=True, slots=True)
class Machine:
    """What the cluster would give and this machine gives instead.

    python: interpreter that has the runner's packages.
    root: the repository whose commit is trained.
    storage: folder that plays the tenant's claim; also the working folder.
    tracking_uri: MLflow in the place of the cluster's.
    """

    python: Path
    root: Path
    storage: Path
    tracking_uri: str


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start."""

    argv: list[str]
    environment: dict[str, str]
    folder: Path


def command(
    job: Manifest,
    machine: Machine,
    sandbox: Sandbox,
    configmaps: Mapping[str, Mapping[str, str]],
    *,
    extra: tuple[str, ...] = (),
) -> Command:
    """The container of a Job as a process; `extra` are arguments after its own.

    Raises:
        ToolFault: the container takes a value from where this machine has none.
    """
    container = pod(job)["containers"][0]
    arguments = [sandbox.host(argument) for argument in container.get("args") or []]
    values = {entry["name"]: _value(entry, job, configmaps) for entry in container.get("env") or []}
    declared = {name: sandbox.host(value) for name, value in values.items() if value is not None}
    declared |= {name: os.environ[name] for name in _FILES if name in os.environ and name in declared}
    environment = {**_machine(machine, container), **declared, "MLFLOW_TRACKING_URI": machine.tracking_uri}
    return Command([str(machine.python), *ENTRYPOINT, *arguments, *extra], environment, machine.storage)


def _machine(machine: Machine, container: Manifest) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    paths = f"{machine.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**inherited, **ENVIRONMENT, "PATH": paths, "PYTHONPATH": str(_CODE)}
    if not ((container.get("resources") or {}).get("limits") or {}).get(_GPU):
        environment["CUDA_VISIBLE_DEVICES"] = ""  # a pod that asks for no GPU sees none
    elif "CUDA_VISIBLE_DEVICES" in os.environ:
        environment["CUDA_VISIBLE_DEVICES"] = os.environ["CUDA_VISIBLE_DEVICES"]
    commit = git_commit(machine.root)
    return environment | ({"GIT_COMMIT": commit} if commit else {})


def git_commit(root: Path) -> str | None:
    """HEAD's commit, with `-dirty` when the working tree differs from it; None outside of a repository."""
    head = _git(root, "rev-parse", "--verify", "HEAD")
    if not head:
        return None
    return f"{head}-dirty" if _git(root, "status", "--porcelain") else head


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _value(entry: Manifest, job: Manifest, configmaps: Mapping[str, Mapping[str, str]]) -> str | None:
    """A variable's value; None for an optional Secret, of which this machine has the user's own variable or nothing."""
    source = entry.get("valueFrom") or {}
    if not source:
        return str(entry.get("value", ""))
    if "configMapKeyRef" in source:
        reference = source["configMapKeyRef"]
        return configmaps[reference["name"]][reference["key"]]
    if "secretKeyRef" in source and source["secretKeyRef"].get("optional"):
        return os.environ.get(entry["name"])
    field = (source.get("fieldRef") or {}).get("fieldPath", "")
    if field in ("metadata.name", "metadata.namespace"):
        value: Any = job["metadata"][field.removeprefix("metadata.")]
        return str(value)
    raise ToolFault(f"{entry['name']} comes from {', '.join(source)} {field}, which only a cluster has")
