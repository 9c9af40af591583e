"""What the first training had and the second would have: base model, data, packages, image. Compared before anything is trained."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tools.errors import ToolFault
from tools.formats.lock import Lock
from tools.formats.model import File
from tools.reproduction.proof import Proof, adapter

_VERSIONS = """\
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
def of(name):
    try:
        return platform.python_version() if name == "python" else version(name)
    except PackageNotFoundError:
        return None
print(json.dumps({name: of(name) for name in json.loads(sys.argv[1])}))
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was. kind: what it is of; only `version` and `image` leave a run that can be trained."""

    kind: Literal["model", "dataset", "result", "version", "image"]
    name: str
    then: str
    now: str

    @property
    def fatal(self) -> bool:
        """Whether it makes another run, or nothing to compare with."""
        return self.kind in {"model", "dataset", "result"}


def compare(lock: Lock, proof: Proof, storage: Path, python: Path) -> list[Difference]:
    """Every input that differs from what the lock and the proof say, files first.

    Raises:
        ToolFault: the runner's Python does not start.
    """
    base = storage / "models" / "base-model" / lock.run.model.path
    found = [
        _file("model", f"{lock.run.model.name}/{name}", base / name, file)
        for name, file in lock.run.model.files.items()
    ]
    for dataset in lock.run.datasets:
        path = storage / "data" / "training-datasets" / dataset.path
        found.append(_hash("dataset", dataset.name, path, dataset.sha256))
    result = adapter(storage, lock)
    found += [_file("result", name, result / name, file) for name, file in proof.files.items()]
    return [*filter(None, found), *_image(lock, proof), *_versions(proof, python)]


def _file(kind: Literal["model", "result"], name: str, path: Path, expected: File) -> Difference | None:
    size = path.stat().st_size if path.is_file() else None
    if size is not None and size != expected.size:
        return Difference(kind, name, f"{expected.size} bytes", f"{size} bytes")
    return _hash(kind, name, path, expected.sha256)


def _hash(kind: Literal["model", "dataset", "result"], name: str, path: Path, expected: str) -> Difference | None:
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return Difference(kind, name, f"sha256 {expected}", f"cannot be read: {error.strerror}")
    return None if found == expected else Difference(kind, name, f"sha256 {expected}", f"sha256 {found}")


def _image(lock: Lock, proof: Proof) -> list[Difference]:
    return [] if proof.image == lock.run.image else [Difference("image", "trained in", lock.run.image, proof.image)]


def _versions(proof: Proof, python: Path) -> list[Difference]:
    """Packages of this machine's runner; what the image held otherwise nobody can see here."""
    command = [str(python), "-c", _VERSIONS, json.dumps(sorted(proof.versions))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        now = json.loads(done.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise ToolFault(f"{python} does not run: {error}; give --runner-python FILE") from error
    pairs = ((name, then, now.get(name)) for name, then in sorted(proof.versions.items()))
    return [Difference("version", name, then, found or "not installed") for name, then, found in pairs if found != then]
