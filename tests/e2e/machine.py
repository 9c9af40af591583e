"""What a machine needs for real pods: root, Debian's container packages, room on the disk and the runner's environment.

Whoever lacks it still runs everything else of tests/e2e; this tier is then skipped, and the reason says what was missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.e2e import binaries

ROOT = Path(__file__).resolve().parents[2]
RUNNER = ROOT / ".venv-runner" / "bin"
# Folders of the CNI plugins: Debian's, and the one that upstream's archives are unpacked to.
_PLUGINS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "skopeo": "skopeo",
    "ip": "iproute2",
}
# Debian has administrators' programs in /usr/sbin, which not every PATH names.
PATH = {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}
_GIB = 1024**3
_ROOM = 30  # GiB: the image in buildah's storage, as served, as pulled and as unpacked


class Unfit(Exception):  # noqa: N818 - named by the user's situation
    """Real pods cannot run here; the message says why and what would help."""


def home() -> Path:
    """The folder in the cache that keeps the image and the node's state between test runs."""
    return binaries.cache().root.parent / "pods"


def plugins() -> Path | None:
    """The folder of the CNI plugins."""
    return next((folder for folder in _PLUGINS if (folder / "bridge").exists()), None)


def check(*, install: bool = False) -> None:
    """Return if real pods can run here.

    install: let apt install the packages that are missing, unless that would remove another.

    Raises:
        Unfit: they cannot.
    """
    if os.environ.get("E2E_KUBECONFIG"):
        raise Unfit("they need a node of our own, and E2E_KUBECONFIG names a cluster")
    if os.geteuid() != 0:
        raise Unfit("containerd and the kubelet need root, and this is not root; run `make e2e` as root")
    if install:
        _install(_missing())
    if missing := _missing():
        raise Unfit(f"missing packages; as root: apt-get install {' '.join(missing)}")
    if not (RUNNER / "mlflow").exists():
        raise Unfit("there is no .venv-runner, which holds the MLflow server; run `make setup-runner`")
    home().mkdir(parents=True, exist_ok=True)
    _overlay()


def room() -> None:
    """Return if the image fits on the disk of the cache.

    Raises:
        Unfit: it does not.
    """
    if (free := shutil.disk_usage(home()).free // _GIB) < _ROOM:
        raise Unfit(f"{home()} has {free} GiB free and the image takes {_ROOM}; E2E_CACHE names another folder")


def unmount(folder: Path) -> None:
    """Unmount whatever is mounted below a folder, the deepest first; to be called before anything there is removed."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    for path in sorted((each for each in mounted if each.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)


def _install(packages: list[str]) -> None:
    if not packages or shutil.which("apt-get") is None:
        return
    print(f"e2e: real pods need {' '.join(packages)}: installing", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-remove", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "--quiet=2", *command], env=environment, stdout=subprocess.DEVNULL, check=False)


def _missing() -> list[str]:
    missing = {package for program, package in _PACKAGES.items() if shutil.which(program, path=PATH["PATH"]) is None}
    return sorted(missing | (set() if plugins() else {"containernetworking-plugins"}))


def _overlay() -> None:
    """Containers' roots are overlay mounts, which a container of another engine or an old kernel refuses."""
    with tempfile.TemporaryDirectory(dir=home()) as folder:
        for name in ("lower", "upper", "work", "root"):
            (Path(folder) / name).mkdir()
        options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, f"{folder}/root"]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unfit(f"no overlay mounts below {home()}: {done.stderr.strip()}; E2E_CACHE names another folder")
        subprocess.run(["umount", f"{folder}/root"], check=True)
