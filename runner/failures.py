"""What an exception means for whoever started the run: an exit code, a cause and what to do."""

from __future__ import annotations

import errno
import resource
import shutil
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from runner import sizes
from runner.events import emit
from runner.exits import OutOfMemory, Retry, RunnerError
from runner.hashing import write_json
from runner.storage import Paths, mounted

NAME = "failure.json"
GIB = 2**30
NEARLY_FULL = 2**20
STORAGE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EROFS, errno.ETIMEDOUT, errno.ENXIO, errno.ENODEV, errno.EFBIG,
}  # fmt: skip
# What writers that hide the error number say: safetensors, torch.save.
STORAGE_WORDS = (
    "no space left on device",
    "disk quota exceeded",
    "input/output error",
    "stale file handle",
    "file too large",
)
MEMORY_WORDS = ("cuda out of memory", "defaultcpuallocator", "cannot allocate memory")


def explain(error: BaseException, paths: Paths) -> RunnerError:
    """The RunnerError that an exception amounts to; one that is unknown keeps exit code 1."""
    chain = list(_chain(error))
    known = next((item for item in chain if isinstance(item, RunnerError)), None)
    if known is not None:
        return known
    if any(_is_memory(item) for item in chain):
        return _out_of_memory(paths)
    if any(_is_storage(item) for item in chain) or full(mounted(paths.checkpoints)):
        return Retry(
            f"{mounted(paths.checkpoints)}: the storage failed: {_first_line(error)}",
            "free space or mend the storage; the same run then resumes from its last complete checkpoint",
        )
    return RunnerError(
        f"{type(error).__name__}: {_first_line(error)}",
        "read the traceback above; mend the cause, then raise `attempt` in the experiment",
    )


def report(failure: RunnerError, error: BaseException, folder: Path | None) -> None:
    """Tell people and programs: stderr, the failure event, and failure.json in `folder` where there is one."""
    if failure.exit_code == RunnerError.exit_code:
        traceback.print_exception(error, file=sys.stderr)
    print(f"runner: {failure}", file=sys.stderr)
    fields = {"exit_code": failure.exit_code, "cause": failure.cause, "remedy": failure.remedy}
    emit("failure", **fields)
    if folder is not None:
        try:
            write_json(folder / NAME, {"at": datetime.now(UTC).isoformat(), **fields})
        except OSError as fault:
            print(f"runner: {folder / NAME}: {fault}", file=sys.stderr)


def peak_bytes() -> tuple[int, str]:
    """The most memory that was in use, and where: on the GPU when one was used, else in this process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_reserved()), "GPU memory"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "memory"


def _out_of_memory(paths: Paths) -> OutOfMemory:
    peak, where = peak_bytes()
    least = sizes.weight_bytes(paths.lock)
    return OutOfMemory(
        f"out of memory: {peak / GIB:.2f} GiB of {where} measured before the failing allocation; estimated least for the weights "
        f"alone: {least / GIB:.2f} GiB",
        "lower per_device_train_batch_size or cutoff_len, use method: qlora, or ask for a larger GPU (`ft plan` estimates)",
    )


def _is_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, (RuntimeError, OSError)) and any(word in text for word in MEMORY_WORDS))
    )


def _is_storage(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in STORAGE_ERRORS:
        return True
    text = str(error).lower()
    return any(word in text for word in STORAGE_WORDS)


def full(folder: Path) -> bool:
    """Whether the disk has no room left, to the accuracy that matters after a failed write."""
    try:
        return shutil.disk_usage(folder).free < NEARLY_FULL
    except OSError:
        return True


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:500]
