"""Storage at a fixed speed: the kernel's own limit on a block device for one control group (cgroup v1, blkio).

Honest for both sides alike: a group's limit holds for what its processes read from the device and for what they write themselves, and
a process writes itself when it calls fsync. So files are taken out of the page cache first, and every command ends with fsync.
What the kernel's own threads write back is not held: a command must be done before they begin (30 s, or a tenth of the memory).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_BLKIO = Path("/sys/fs/cgroup/blkio")
SPEED = 500_000_000  # bytes per second, each way


@contextmanager
def group(folder: Path) -> Iterator[Path | None]:
    """A control group whose processes read and write the device of `folder` at SPEED; None where that cannot be had."""
    number = folder.stat().st_dev
    place = _BLKIO / f"bench-{os.getpid()}"
    try:
        place.mkdir()
        disk = _disk(number)
        for way in ("read", "write"):
            (place / f"blkio.throttle.{way}_bps_device").write_text(f"{disk} {SPEED}")
    except OSError:
        if place.exists():
            place.rmdir()
        yield None
        return
    try:
        yield place
    finally:
        place.rmdir()


def inside(place: Path, command: Sequence[str | Path]) -> list[str]:
    """The command that runs another one in the group."""
    return ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(place), *map(str, command)]


def forget(folder: Path) -> None:
    """Take all files below out of the page cache, behind their way to the disk."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _disk(number: int) -> str:
    """The whole disk of a partition; limits hold for disks only."""
    name = f"{os.major(number)}:{os.minor(number)}"
    device = Path(f"/sys/dev/block/{name}").resolve(strict=True)
    return (device.parent / "dev").read_text().strip() if (device / "partition").exists() else name
