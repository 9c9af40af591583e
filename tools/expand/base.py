"""Released bases stay as they were: each `base/training/v<N>` and `base/serving/v<N>` has a list of hashes beside it.

An overlay names its base and nothing more of it, so an edited base would change runs that are long authorized, make every
finished Job OutOfSync, and restart every served model. A change is a new folder, `v<N+1>`, to which an environment's `base:`
(or `serving.base:`) is then moved.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tools.findings import Finding, compose

TRAINING, SERVING = "base/training", "base/serving"


def listing(folder: Path) -> str:
    """The hashes of a folder's files as `sha256sum` prints them, sorted by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = (
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder.parent).as_posix()}"
        for path in files
    )
    return "".join(f"{row}\n" for row in rows)


def check(root: Path, base: str) -> list[Finding]:
    """Faults of one base, for instance `base/training/v1`: missing, without hashes, or other than its hashes say."""
    bases, _, version = base.rpartition("/")
    folder, file = root / base, f"{base}.sha256"
    if not (folder / "kustomization.yaml").is_file():
        return [_finding(file, 1, f"there is no {base}/kustomization.yaml", "put the base back")]
    if not (root / file).is_file():
        return [_finding(file, 1, f"no hashes of {base}", _how_to_freeze(bases, version))]
    expected, found = (root / file).read_text().splitlines(), listing(folder).splitlines()
    following = f"{bases}/v{int(version.removeprefix('v')) + 1}"
    remedy = f"put it back and make {following.rpartition('/')[2]} (cp -r {base} {following})"
    faults = [
        _finding(file, 1 + index, f"{row.split('  ')[-1]} differs from its hash, or is gone", remedy)
        for index, row in enumerate(expected)
        if row not in found
    ]
    names = {row.split("  ")[-1] for row in expected}
    added = [row.split("  ")[-1] for row in found if row.split("  ")[-1] not in names]
    return faults + [_finding(file, 1, f"{name} was added to a released base", remedy) for name in added]


def _how_to_freeze(bases: str, version: str) -> str:
    return f"before its first overlay: cd {bases} && find {version} -type f | LC_ALL=C sort | xargs sha256sum > {version}.sha256"


def _finding(file: str, line: int, found: str, remedy: str) -> Finding:
    return Finding(file, line, 1, "expand-base", "error", compose(found, "files as they were released", remedy))
