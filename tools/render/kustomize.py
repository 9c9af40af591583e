"""The program kustomize, alone or inside kubectl, building many overlays in one process.

A process takes time to start, so overlays are built together under a parent kustomization. Resolving names there costs
the square of their number (kustomize compares each reference with each object), so the best number is where both meet:
kustomize starts in 15 ms of CPU and kubectl, which carries much more, in 75.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tools.errors import ToolFault

KUSTOMIZE_CHUNK = 8
KUBECTL_CHUNK = 16
_SECONDS = 300
_LOGGER = re.compile(r"^E\d{4} \S+ +\d+ \S+\] \"command failed\" err=", re.MULTILINE)
# A process this short spends half its time collecting garbage that its end would free (Go's default is 100), and as many
# of them as there are processors run side by side, so that threads of their own only get in each other's way.
_ENVIRONMENT = {"GOGC": "400", "GOMAXPROCS": "1"}


@dataclass(frozen=True, slots=True)
class Built:
    """What one call of kustomize gave: manifests, or the reason why there are none."""

    overlays: Sequence[str]
    manifests: str
    fault: str | None


@dataclass(frozen=True, slots=True)
class Kustomize:
    """A way to call kustomize: the program with its first arguments, and how many overlays one call builds at best."""

    command: tuple[str, ...]
    chunk: int

    @classmethod
    def find(cls) -> Kustomize:
        """Look for kustomize or kubectl on PATH, else for the kubectl that the set-up put beside this program's own Python.

        Raises:
            ToolFault: there is none.
        """
        if program := shutil.which("kustomize"):
            return cls((program, "build"), KUSTOMIZE_CHUNK)
        program = shutil.which("kubectl") or shutil.which("kubectl", path=str(Path(sys.executable).parent))
        if program:
            return cls((program, "kustomize"), KUBECTL_CHUNK)
        raise ToolFault(
            "neither kustomize nor kubectl is on PATH; install one, or run `make setup`, which gets kubectl"
        )

    def build(self, root: Path, overlays: Sequence[str]) -> Iterator[Built]:
        """All overlays (paths below `root`), chunk by chunk in their order; of a chunk that fails each one alone."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for built in pool.map(lambda chunk: self._together(root, chunk), _chunks(overlays, self.chunk)):
                yield from self._singled(root, built)

    def _singled(self, root: Path, result: Built) -> list[Built]:
        if result.fault is None or len(result.overlays) == 1:
            return [result]
        singles = [self._together(root, [overlay]) for overlay in result.overlays]
        return singles if any(single.fault for single in singles) else [result]

    def _together(self, root: Path, overlays: Sequence[str]) -> Built:
        if len(overlays) == 1:
            return self._call(overlays, root / overlays[0])
        with tempfile.TemporaryDirectory(prefix="ft-render-") as folder:
            parent = Path(folder).resolve()
            paths = [os.path.relpath((root / overlay).resolve(), parent) for overlay in overlays]
            resources = "".join(f"  - {path}\n" for path in paths)
            (parent / "kustomization.yaml").write_text(f"resources:\n{resources}")
            return self._call(overlays, parent)

    def _call(self, overlays: Sequence[str], folder: Path) -> Built:
        command = [*self.command, str(folder)]
        environment = {**os.environ, **_ENVIRONMENT}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_SECONDS, env=environment, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ToolFault(f"{' '.join(command)} did not end within {_SECONDS} s") from error
        return Built(overlays, done.stdout, reason(done.stderr) if done.returncode else None)


def reason(complaint: str) -> str:
    """What a person needs of kustomize's complaint: its first line without the logger's time and place."""
    lines = (line.strip(' \t"<>') for line in _LOGGER.sub("", complaint).splitlines())
    return next((line for line in lines if line), "it gave no reason")


def _chunks(overlays: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """At most `most` together, and of one environment: a tenant's objects have the same names in every cluster."""
    for _, group in groupby(overlays, key=lambda overlay: overlay.split("/")[1]):
        same = list(group)
        yield from (same[start : start + most] for start in range(0, len(same), most))
