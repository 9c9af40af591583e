"""The plan's estimate of peak memory, made again from what lies on the storage: the measured peak is shown beside it.

The lock holds no token lengths, so the longest sequence is taken to be `cutoff_len`; `ft plan` may have known better.
"""

from __future__ import annotations

from runner.storage import Paths
from tools.errors import UsageError
from tools.formats.experiment import Method
from tools.formats.lock import Lock
from tools.formats.model import Architecture
from tools.models import architecture, folder, weights
from tools.plan import memory
from tools.plan.steps import value
from tools.plan.workload import Workload


def peak_bytes(paths: Paths) -> float | None:
    """Bytes of one device at the peak (tools/plan/memory.py has the formulas); None where the model cannot be read."""
    try:
        return memory.total(memory.parts(_workload(paths.lock, _architecture(paths))))
    except (UsageError, OSError, ValueError, KeyError):  # it would hide the failure that is being explained
        return None


def _architecture(paths: Paths) -> Architecture:
    return architecture.read(paths.base_model, weights.read(paths.base_model, folder.files_of(paths.base_model)))


def _workload(lock: Lock, found: Architecture) -> Workload:
    settings, resources = lock.run.settings, lock.run.resources
    cutoff = int(value(settings, "cutoff_len"))
    return Workload(
        architecture=found,
        method=_method(lock),
        stage=settings["stage"],
        settings=settings,
        gpus=resources.gpus,
        nodes=resources.nodes,
        longest=cutoff,
        typical=cutoff,
        expected=cutoff,
        measured=False,
        fused=lock.run.performance is not None and lock.run.performance.fused,
    )


def _method(lock: Lock) -> Method:
    if lock.run.settings.get("finetuning_type") == "full":
        return "full"
    return "qlora" if lock.run.settings.get("quantization_bit") else "lora"
