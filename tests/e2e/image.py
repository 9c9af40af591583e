"""`python -m tests.e2e.image`: the training image for real pods, built by buildah from this repository's Dockerfile.

Its base is made here by debootstrap. What is built lies in the cache, as an OCI layout, and is built again only
when the Dockerfile or something that it copies changes; a change of tools/ or runner/ alone keeps the packages' layer.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.e2e import machine
from tests.e2e.machine import ROOT

HOST = "registry.example"  # of environments/dev.yaml; the node is told who serves it
NAME = f"{HOST}/llm-finetuning/llama-factory-train"
SANDBOX = f"{HOST}/sandbox"
_BASE = ROOT / "tests" / "e2e" / "manifests" / "real-pods" / "base.Dockerfile"
_SUITE = "bookworm"
_PACKAGES = "python3,python3-dev,python3-venv,ca-certificates"
_HEAVY = ("Dockerfile", ".dockerignore", "requirements/bootstrap.txt", "requirements/runner.txt")
_LIGHT = ("tools", "runner")
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Images:
    """What was built: an OCI layout, and the digests in it, `sha256:...`."""

    layout: str
    base: str
    training: str


class NotBuilt(Exception):  # noqa: N818 - named by the user's situation
    """The image of this checkout is not in the cache."""


def existing() -> Images:
    """The image of this checkout.

    Raises:
        NotBuilt: it is not there.
    """
    try:
        return Images(**json.loads(_record().read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise NotBuilt("the training image is not built; `make e2e` builds it") from None


def ensure() -> Images:
    """Build the image unless it is there.

    Raises:
        machine.Unfit: it does not fit on the disk.
        subprocess.CalledProcessError: a build failed; its output stands above.
    """
    with _locked(machine.home()):
        try:
            return existing()
        except NotBuilt:
            return _build()


def _folder() -> Path:
    """Everything that was built from one Dockerfile and one set of pins."""
    return machine.home() / f"image-{_digest([_BASE, *(ROOT / name for name in _HEAVY)])}"


def _record() -> Path:
    files = (file for name in _LIGHT for file in (ROOT / name).rglob("*") if "__pycache__" not in file.parts)
    return _folder() / f"{_digest(file for file in files if file.is_file())}.json"


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256(f"{_SUITE} {_PACKAGES}".encode())
    for file in sorted(files):
        digest.update(f"{file.relative_to(ROOT)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build() -> Images:
    folder, record = _folder(), _record()
    for other in machine.home().glob("image-*"):  # 13 GB each
        if other != folder:
            machine.unmount(other)
            shutil.rmtree(other)
    if not (folder / "layout").exists():
        machine.room()
    shutil.rmtree(folder / "temporary", ignore_errors=True)  # whole layers, of a build that was killed
    (folder / "temporary").mkdir(parents=True)
    _buildah(folder, "rm", "--all")
    base = folder / "base.digest"
    if not base.exists():
        _build_base(folder)
        base.write_text(_export(folder, "base"), encoding="utf-8")
    with _timed("building the training image from the Dockerfile (minutes, unless only tools/ or runner/ changed)"):
        _buildah(folder, "bud", "--layers", *_from_here(), "--tag", "localhost/training", str(ROOT))
    images = Images(str(folder / "layout"), base.read_text(encoding="utf-8"), _export(folder, "training"))
    for old in folder.glob("*.json"):
        old.unlink()
    machine.unmount(folder)  # buildah leaves its storage mounted on itself
    record.write_text(json.dumps(asdict(images)), encoding="utf-8")
    return images


def _build_base(folder: Path) -> None:
    """A Debian with Python, as one layer."""
    with _timed(f"making a base image of Debian {_SUITE} by debootstrap"):
        root = folder / "debian"
        shutil.rmtree(root, ignore_errors=True)
        options = ["--variant=minbase", f"--include={_PACKAGES}"]
        _run("debootstrap", *options, _SUITE, str(root))
        exclude = ["--exclude=./dev/*", "--exclude=./var/cache/apt/archives/*.deb"]
        _run("tar", "--create", f"--file={folder / 'base.tar'}", f"--directory={root}", *exclude, ".")
        _buildah(folder, "bud", "--tag", "localhost/base", "--file", str(_BASE), str(folder))
        shutil.rmtree(root)
        (folder / "base.tar").unlink()


def _from_here() -> list[str]:
    """The Dockerfile's arguments: the base made here, this machine's certificate authorities and package index."""
    options = ["--build-arg", "BASE_IMAGE=localhost/base"]
    authorities = os.environ.get("SSL_CERT_FILE", _AUTHORITIES)
    if Path(authorities).exists():
        options += ["--secret", f"id=ca-bundle,src={authorities}"]
    if index := os.environ.get("PIP_INDEX_URL"):
        options += ["--build-arg", f"INDEX_URL={index}"]
    return options


def _export(folder: Path, image: str) -> str:
    """Write an image into the layout and return its digest. Without compression layers that are there are not read again."""
    digest, storage = folder / "exported.digest", f"overlay@{folder / 'storage'}+{folder / 'run'}"
    options = ["--dest-oci-accept-uncompressed-layers", "--digestfile", str(digest)]
    source, target = f"containers-storage:[{storage}]localhost/{image}", f"oci:{folder / 'layout'}:{image}"
    with _timed(f"exporting the {image} image"):
        _run("skopeo", "copy", *options, source, target, TMPDIR=str(folder / "temporary"))
    return digest.read_text(encoding="utf-8").strip()


def _buildah(folder: Path, command: str, *arguments: str) -> None:
    """Run buildah on a storage of its own, without namespaces for the build: this machine may be a container."""
    storage = ["--root", str(folder / "storage"), "--runroot", str(folder / "run"), "--storage-driver", "overlay"]
    isolation = ["--isolation", "chroot"] if command == "bud" else []
    _run("buildah", *storage, command, *isolation, *arguments, TMPDIR=str(folder / "temporary"))


def _run(*command: str, **more: str) -> None:
    """Run a program whose output is of interest only when it fails."""
    environment = {**os.environ, **machine.PATH, **more}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        print(done.stdout[-6000:], file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    print(f"e2e: {what} ...", flush=True)
    started = time.monotonic()
    yield
    print(f"e2e: {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    """Build it: 0 it is there, or this machine cannot run real pods; 3 the build failed."""
    try:
        machine.check(install=True)
        images = ensure()
    except machine.Unfit as unfit:
        print(f"e2e: no real pods: {unfit}")
        return 0
    except subprocess.CalledProcessError as error:
        print(f"e2e: the training image was not built: {error}", file=sys.stderr)
        return 3
    print(f"e2e: training image {NAME}@{images.training}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
