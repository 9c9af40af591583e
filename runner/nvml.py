"""What NVIDIA's management library tells of this process's GPUs: memory in use and how busy they are; nothing without one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Reading:
    """One GPU at one moment. used, total: bytes, of all processes. busy: share of the last second, None where it is not told (MIG)."""

    used: int
    total: int
    busy: float | None


def readings() -> list[Reading]:
    """All GPUs that CUDA_VISIBLE_DEVICES lets through, in its order; one that stops answering is left out. A millisecond."""
    return [reading for device in _devices() if (reading := _read(device)) is not None]


@cache
def _devices() -> tuple[Any, ...]:
    """Handles; found once."""
    try:
        import pynvml

        pynvml.nvmlInit()
        count = int(pynvml.nvmlDeviceGetCount())
    except (ImportError, OSError):
        return ()
    except Exception as error:
        if not _is_nvml(error):
            raise
        return ()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(index) for index in range(count)] if chosen is None else chosen.split(",")
    return tuple(handle for name in names if (handle := _handle(name.strip(), count)) is not None)


def _handle(name: str, count: int) -> Any:
    import pynvml

    try:
        if name.isdecimal():
            return pynvml.nvmlDeviceGetHandleByIndex(int(name)) if int(name) < count else None
        return pynvml.nvmlDeviceGetHandleByUUID(name) if name else None
    except pynvml.NVMLError:
        return None


def _read(device: Any) -> Reading | None:
    import pynvml

    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(device)
    except pynvml.NVMLError:
        return None
    try:
        busy = pynvml.nvmlDeviceGetUtilizationRates(device).gpu / 100
    except pynvml.NVMLError:
        busy = None
    return Reading(int(memory.used), int(memory.total), busy)


def _is_nvml(error: Exception) -> bool:
    return type(error).__module__.startswith("pynvml")
