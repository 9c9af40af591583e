"""A real node for a control plane of our own: containerd, runc, CNI's bridge and the kubelet, on this machine.

Pods reach each other and this machine's end of the bridge, nothing else: no name service, no way out. Images come from the
registry that is given. The state lies in the cache, so that an image is pulled once and what a killed test run left behind
is found and removed by the next.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.e2e import image, machine
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster
from tests.e2e.containers import Containers
from tests.e2e.image import Images
from tests.e2e.processes import Program, Programs, wait_for

NAME = "node-1"
ADDRESS = "10.244.83.1"  # this machine's end of the bridge, where pods find MLflow
_BRIDGE = "e2e-pods"
_CGROUPS = "finetuning-e2e"  # of its own: a kubelet ends what it does not know below its root
_SUBNET = "10.244.83.0/24"
_CONFIGURATION = Path(__file__).parent / "manifests" / "real-pods"
_LOCK = Path("/run/finetuning-e2e.lock")
# What the kubelet sets at its start for the whole machine, and what is put back: panic_on_oops would restart the machine.
_SYSCTLS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")


@dataclass(frozen=True)
class Node:
    """A node that can be lost: what runs in it, and the two programs that make it one."""

    cluster: Cluster
    containers: Containers
    containerd: Program
    kubelet: Program

    def lose(self) -> None:
        """What is left of a machine without power: no kubelet, no containerd, no process of a pod."""
        self.kubelet.kill()
        self.containers.clear()
        self.containerd.kill()

    def come_back(self) -> None:
        """The machine starts again."""
        before = _sysctls()
        wait_for(self.containers.answers, "containerd again", 60, [self.containerd.start()])
        wait_for(lambda: _ready(self.cluster), "the node again", 120, [self.kubelet.start()])
        _restore(before)


@contextmanager
def running(built: Cache, cluster: Cluster, programs: Programs, registry: str, images: Images) -> Iterator[Node]:
    """A node that is ready, with one end of the bridge at ADDRESS, and nothing of it left afterwards but pulled images.

    registry: its URL.
    images: what the pods will run; everything else from earlier test runs is forgotten.
    """
    home = machine.home() / "node"
    with _alone(), tempfile.TemporaryDirectory(prefix="e2e-node-") as short:  # a socket's path has 107 characters
        socket = Path(short) / "containerd.sock"
        machine.unmount(home)
        for name in ("kubelet", "pod-logs", "network"):
            shutil.rmtree(home / name, ignore_errors=True)
            (home / name).mkdir(parents=True)
        containers = Containers(socket, home / "pod-logs")
        before = _sysctls()
        daemons: list[Program] = []
        try:
            _bridge()
            for hierarchy in _hierarchies():
                (hierarchy / _CGROUPS).mkdir(exist_ok=True)
            daemons.append(_containerd(home, socket, programs, registry, images))
            wait_for(containers.answers, "containerd", 60, daemons)
            containers.clear()
            containers.forget_images({images.base, images.training})
            daemons.append(_kubelet(built, cluster, home, socket, programs))
            wait_for(lambda: _ready(cluster), "the node", 120, daemons)
            _restore(before)
            yield Node(cluster, containers, *daemons)
        finally:
            _down(containers, home, daemons)
            end_shims(socket)
            _restore(before)


def _down(containers: Containers, home: Path, daemons: list[Program]) -> None:
    """Everything in reverse, containers while containerd still runs."""
    for kubelet in daemons[1:]:
        kubelet.stop()
    if daemons and daemons[0].alive:
        with suppress(subprocess.SubprocessError):
            containers.clear()
    for containerd in daemons[:1]:
        containerd.stop()
    machine.unmount(home)
    _quietly("ip", "link", "delete", _BRIDGE)
    for hierarchy in _hierarchies():
        _quietly("find", str(hierarchy / _CGROUPS), "-depth", "-type", "d", "-exec", "rmdir", "{}", "+")


def end_shims(socket: Path) -> None:
    """End what containerd started for containers and forgot: one that it was making when it was stopped is in none of its lists."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if str(socket) in command and any("containerd-shim" in part for part in command[:2]):
                for each in [*process.children(recursive=True), process]:
                    each.kill()


@contextmanager
def _alone() -> Iterator[None]:
    """One node at a time on a machine: bridge and cgroups have fixed names."""
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _hierarchies() -> list[Path]:
    """The roots of the cgroup hierarchies: one, or with version 1 one for each group of controllers."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root]
    return [folder for folder in root.iterdir() if (folder / "cgroup.procs").exists() and not folder.is_symlink()]


def _containerd(home: Path, socket: Path, programs: Programs, registry: str, images: Images) -> Program:
    hosts = home / "registries" / image.HOST
    hosts.mkdir(parents=True, exist_ok=True)
    server = f'[host."{registry}"]\n  capabilities = ["pull", "resolve"]\n'
    (hosts / "hosts.toml").write_text(server, encoding="utf-8")
    file = home / "containerd.toml"
    text = (_CONFIGURATION / "containerd.toml").read_text(encoding="utf-8")
    sandbox = f"{image.SANDBOX}@{images.base}"
    for name, value in {"HOME": home, "SOCKET": socket, "SANDBOX": sandbox, "PLUGINS": machine.plugins()}.items():
        text = text.replace(f"@{name}@", str(value))
    file.write_text(text, encoding="utf-8")
    network = json.loads((_CONFIGURATION / "network.conflist").read_text(encoding="utf-8"))
    bridge = network["plugins"][0]
    bridge["bridge"] = _BRIDGE
    bridge["ipam"] |= {"dataDir": str(home / "network" / "leases"), "ranges": [[{"subnet": _SUBNET}]]}
    (home / "network" / "10-pods.conflist").write_text(json.dumps(network), encoding="utf-8")
    return programs.start("containerd", ["containerd", "--config", str(file)], machine.PATH)


def _kubelet(built: Cache, cluster: Cluster, home: Path, socket: Path, programs: Programs) -> Program:
    settings = yaml.safe_load((_CONFIGURATION / "kubelet.yaml").read_text(encoding="utf-8"))
    settings["containerRuntimeEndpoint"] = f"unix://{socket}"
    settings["cgroupRoot"] = f"/{_CGROUPS}"
    settings["podLogsDir"] = str(home / "pod-logs")
    (home / "kubelet.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [
        *(built.program("kubelet"), "--config", str(home / "kubelet.yaml")),
        *("--kubeconfig", str(_sign_in(cluster, home)), "--hostname-override", NAME, "--node-ip", ADDRESS),
        *("--root-dir", str(home / "kubelet"), "--cert-dir", str(home / "kubelet-pki")),
    ]
    return programs.start("kubelet", command, machine.PATH)


def _sign_in(cluster: Cluster, home: Path) -> Path:
    """The kubelet as a node's own user, whom RBAC and the node authorizer let do what a kubelet may and no more."""
    config: Any = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    config["users"][0]["user"] |= {"as": f"system:node:{NAME}", "as-groups": ["system:nodes"]}
    file = home / "kubelet-kubeconfig.yaml"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


def _bridge() -> None:
    """Before the first pod, so that MLflow can listen there."""
    _quietly("ip", "link", "delete", _BRIDGE)
    prefix = _SUBNET.partition("/")[2]
    for arguments in (
        ["link", "add", _BRIDGE, "type", "bridge"],
        ["address", "add", f"{ADDRESS}/{prefix}", "dev", _BRIDGE],
        ["link", "set", _BRIDGE, "up"],
    ):
        subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _ready(cluster: Cluster) -> bool:
    found = cluster.get("Node", NAME) or {}
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _sysctls() -> dict[str, str]:
    return {name: (Path("/proc/sys") / name).read_text(encoding="utf-8") for name in _SYSCTLS}


def _restore(values: dict[str, str]) -> None:
    for name, value in values.items():
        with suppress(OSError):  # a container may not set them, and then the kubelet could not either
            (Path("/proc/sys") / name).write_text(value, encoding="utf-8")


def _quietly(*command: str) -> None:
    """Run a program that may find nothing to do."""
    subprocess.run(command, check=False, capture_output=True)
