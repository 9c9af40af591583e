"""Which cause of tools/causes.py an exception shows, by its class, its error number or what it says.

Writers such as safetensors and torch.save hide the error number, so words count too.
"""

from __future__ import annotations

import errno
import resource
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from runner import badrows, sizes
from runner.exits import Mismatch, OutOfMemory, Retry, RunnerError
from runner.storage import Paths, mounted
from tools.causes import CAUSES

GIB = 2**30
NEARLY_FULL = 2**20
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
STORAGE_ERRORS = {*NO_ROOM, errno.EIO, errno.ESTALE, errno.EROFS, errno.ETIMEDOUT, errno.ENXIO, errno.ENODEV}
NO_ROOM_WORDS = ("no space left on device", "disk quota exceeded", "file too large")
STORAGE_WORDS = (*NO_ROOM_WORDS, "input/output error", "stale file handle", "read-only file system")
MEMORY_WORDS = ("cuda out of memory", "defaultcpuallocator", "cannot allocate memory")
# Faults of the device or its driver: another pod, on another GPU, may do. An illegal access of a kernel is none of them.
DEVICE_WORDS = (
    "uncorrectable ecc error",
    "cuda error: unknown error",
    "nccl error",
    "no cuda-capable device",
    "fallen off the bus",
)
Chain = Sequence[BaseException]


def memory(chain: Chain, paths: Paths) -> OutOfMemory | None:
    """Out of memory, of the GPU or of the process: the measured peak beside the plan's estimate."""
    if not any(_is_memory(item) for item in chain):
        return None
    from runner import estimates

    code = "out-of-gpu-memory" if any(_is_gpu_memory(item) for item in chain) else "out-of-memory"
    peak, where = peak_bytes()
    least = sizes.weight_bytes(paths.lock)
    estimate = estimates.peak_bytes(paths)
    planned = f"estimated peak: {estimate / GIB:.2f} GiB, of which" if estimate is not None else "estimated:"
    return OutOfMemory(
        f"{CAUSES[code].what}: {peak / GIB:.2f} GiB of {where} measured before the failing allocation; {planned} "
        f"{least / GIB:.2f} GiB for the weights alone",
        CAUSES[code].remedy,
        code=code,
        measured_bytes=peak,
        estimated_bytes=round(estimate) if estimate is not None else None,
    )


def device(chain: Chain, paths: Paths) -> Retry | None:
    """A broken GPU."""
    del paths
    found = next((item for item in chain if _says(item, DEVICE_WORDS)), None)
    return Retry(f"the GPU failed: {first_line(found)}", CAUSES["no-gpu"].remedy, code="no-gpu") if found else None


def storage(chain: Chain, paths: Paths) -> Retry | None:
    """A storage that is full or failed; a full one explains whatever else went wrong."""
    folder = mounted(paths.checkpoints)
    no_room = full(folder) or any(_has(item, NO_ROOM) or _says(item, NO_ROOM_WORDS) for item in chain)
    if not no_room and not any(_has(item, STORAGE_ERRORS) or _says(item, STORAGE_WORDS) for item in chain):
        return None
    return Retry(
        f"{folder}: the storage {'is full' if no_room else 'failed'}: {first_line(chain[0])}",
        "free space or mend the storage; the same run then resumes from its last complete checkpoint",
        code="disk-full" if no_room else "storage-failed",
    )


def permission(chain: Chain, paths: Paths) -> RunnerError | None:
    """Permission denied; the system names the path."""
    del paths
    found = next((item for item in chain if _has(item, {errno.EACCES, errno.EPERM})), None)
    code = "permission-denied"
    return RunnerError(first_line(found), CAUSES[code].remedy, code=code) if found else None


def rows(chain: Chain, paths: Paths) -> Mismatch | None:
    """A dataset that could not be loaded and has a faulty row: its file and line."""
    if not any(badrows.is_loading(item) for item in chain) or not (found := badrows.bad_rows(paths)):
        return None
    remedy = f"`ft dataset check FILE` lists all faults; {CAUSES['bad-row'].remedy}"
    return Mismatch("\n".join(found), remedy, code="bad-row", rows=found)


ALL: tuple[Callable[[Chain, Paths], RunnerError | None], ...] = (memory, device, storage, permission, rows)


def peak_bytes() -> tuple[int, str]:
    """The most memory that was in use, and where: on the GPU when one was used, else in this process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_reserved()), "GPU memory"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "memory"


def full(folder: Path) -> bool:
    """Whether the disk has no room left, to the accuracy that matters after a failed write."""
    try:
        return shutil.disk_usage(folder).free < NEARLY_FULL
    except OSError:
        return True


def first_line(error: BaseException) -> str:
    """What an exception says, cut to one line."""
    return (str(error).strip().splitlines() or [""])[0][:500]


def _is_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError)
        or _is_gpu_memory(error)
        or (isinstance(error, (RuntimeError, OSError)) and _says(error, MEMORY_WORDS))
    )


def _is_gpu_memory(error: BaseException) -> bool:
    return _says(error, MEMORY_WORDS[:1]) or type(error).__name__ == "OutOfMemoryError"


def _has(error: BaseException, numbers: set[int]) -> bool:
    return isinstance(error, OSError) and error.errno in numbers


def _says(error: BaseException, words: Sequence[str]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)
