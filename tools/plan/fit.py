"""Whether a run fits into its device, and which single change would make it fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from tools.plan import memory
from tools.plan.workload import Workload
from tools.tuning.liger import MODELS

Verdict = Literal["fits", "tight", "does not fit"]
# The formulas are within a fifth of what was measured: closer to the limit than that is no promise.
SAFE = 0.85


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the experiment and the bytes that it would then need."""

    what: str
    bytes: float


def verdict(needed: float, limit: float) -> Verdict:
    """How `needed` bytes stand against `limit` bytes."""
    if needed > limit:
        return "does not fit"
    return "tight" if needed > SAFE * limit else "fits"


def changes(work: Workload) -> list[Change]:
    """Single changes that need less memory, the one that changes least for the author first."""
    now = memory.total(memory.parts(work))
    found = (Change(what, memory.total(memory.parts(changed))) for what, changed in _options(work))
    return [change for change in found if change.bytes < now]


def _options(work: Workload) -> Iterator[tuple[str, Workload]]:
    batch, accumulation = int(work.value("per_device_train_batch_size")), int(work.value("gradient_accumulation_steps"))
    if not work.checkpointing:
        yield "remove disable_gradient_checkpointing", _with(work, disable_gradient_checkpointing=False)
    if not work.liger and work.gpus and work.architecture.model_type in MODELS:
        yield "enable_liger_kernel: true", _with(work, enable_liger_kernel=True)
    if batch > 1:
        smaller = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": batch * accumulation}
        what = (
            f"per_device_train_batch_size: 1 and gradient_accumulation_steps: {batch * accumulation} (the same steps)"
        )
        yield what, _with(work, **smaller)
    if work.longest > 1:
        half = work.longest // 2
        yield f"cutoff_len: {half} (longer rows are cut)", replace(work, longest=half)
    if work.method == "full":
        yield "method: lora", replace(work, method="lora")
    if work.method != "qlora" and work.gpus:
        yield "method: qlora with quantization_bit: 4", replace(_with(work, quantization_bit=4), method="qlora")


def _with(work: Workload, **settings: Any) -> Workload:
    return replace(work, settings={**work.settings, **settings})
