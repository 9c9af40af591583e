"""What runs in containerd: a look into containers, and their removal."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Manifest


@dataclass(frozen=True)
class Process:
    """A container's first process, as the kernel of this machine sees it."""

    status: dict[str, str]  # /proc/<pid>/status
    mounts: dict[str, set[str]]  # mount point -> its options


class Containers:
    """The pods' containers of one node.

    socket: where its containerd listens.
    logs: the kubelet's folder of pods' logs.
    """

    def __init__(self, socket: Path, logs: Path) -> None:
        self._ctr = ["ctr", "--address", str(socket), "--namespace", "k8s.io"]
        self._logs = logs

    def ctr(self, *arguments: str) -> str:
        """What containerd's own client prints."""
        return subprocess.run([*self._ctr, *arguments], check=True, capture_output=True, text=True, timeout=300).stdout

    def log(self, pod: Manifest) -> str:
        """What a pod's container has said so far, and when; "" before it started."""
        meta = pod["metadata"]
        folder = self._logs / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
        return "".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*/*.log")))

    def process(self, pod: Manifest) -> Process:
        """The process of a pod's only container, which must be running."""
        tasks = dict(line.split()[:2] for line in self.ctr("tasks", "ls").splitlines()[1:])
        folder = Path("/proc") / tasks[_id(pod)]
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text(encoding="utf-8").splitlines())
        fields = [line.split() for line in (folder / "mountinfo").read_text(encoding="utf-8").splitlines()]
        return Process(status, {each[4]: set(each[5].split(",")) for each in fields})

    def run(self, pod: Manifest, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a pod's only container as the container's own user."""
        full = [*self._ctr, "tasks", "exec", "--exec-id", "look", _id(pod), *command]
        return subprocess.run(full, capture_output=True, text=True, timeout=60, check=False)

    def answers(self) -> bool:
        """Whether containerd does."""
        with suppress(subprocess.SubprocessError):
            return bool(self.ctr("version"))
        return False

    def clear(self) -> None:
        """Remove every container, with its network and its processes."""
        for task in self.ctr("tasks", "ls", "--quiet").split():
            with suppress(subprocess.CalledProcessError):
                self.ctr("tasks", "rm", "--force", task)
        for container in self.ctr("containers", "ls", "--quiet").split():
            for namespace in _network(json.loads(self.ctr("containers", "info", container))):
                subprocess.run(["ip", "netns", "delete", namespace.name], check=False, capture_output=True)
            self.ctr("containers", "rm", container)

    def forget_images(self, wanted: set[str]) -> None:
        """Remove what was pulled in earlier test runs, but for the digests that are wanted."""
        for line in self.ctr("images", "ls").splitlines()[1:]:
            name, _, digest, *_ = line.split()
            if digest not in wanted:
                self.ctr("images", "rm", "--sync", name)


def _id(pod: Manifest) -> str:
    identity: str = pod["status"]["containerStatuses"][0]["containerID"]
    return identity.removeprefix("containerd://")


def _network(container: dict[str, Any]) -> list[Path]:
    """The named network namespace of a pod's sandbox."""
    namespaces = container.get("Spec", {}).get("linux", {}).get("namespaces", [])
    paths = [Path(each["path"]) for each in namespaces if each["type"] == "network" and each.get("path")]
    return [path for path in paths if path.name.startswith("cni-")]
