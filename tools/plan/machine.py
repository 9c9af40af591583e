"""Plans as JSON with stable keys: an array of objects, one for each experiment.

file, run_id, sha256, tenant, name, environment, verdict ("fits", "tight", "does not fit"), notes [text], approvals [text]
run             the lock's `run`, as `ft expand` writes it
performance     null, or {chosen (false: advice only), expected_gain, changes: [{setting, as_written, chosen}], reasons [text]}: what
                `performance: auto` changed, or would change; expected_gain is in times
steps           {optimisation_steps, steps_per_epoch, examples_per_step, examples, epochs}
tokens          {total, mean_per_row, longest, measured}: tokens after cutting; measured is false without a manifest's lengths
cut_rows        [{dataset, rows, over}]: rows longer than cutoff_len, null where nobody measured them
memory          {device, limit_bytes, peak_bytes, allocated_bytes, parts: [{name, bytes, formula, source}],
                changes: [{what, bytes}]}: of one GPU, or of the CPU container
storage_bytes   {checkpoint, checkpoints (how many), result, merged, peak}
hours           {low, high, limit, flops_per_token}: training time; low and high are null without a GPU
prediction      null without GPUs, or {memory, time}, each {formula, expected, error, runs, group [gpu, method, model]}: bytes and hours, corrected by
                what `runs` finished runs of that group measured (runs 0: by none); error is relative, null where not seen before; and
                seen: finished runs of the same model and GPU
evaluation      null, or {models, rows, hours_low, hours_high, hours_limit}: scoring on one GPU; null as above
cost            {currency, price_per_gpu_hour, gpu_hours_low, gpu_hours_high, gpu_hours_limit, low, high, limit}
quota           [{name, unit, before, after, allowed, exceeded}]
difference      null, or {nearest, changes: [{key, old, new}]}: values as JSON text, null where the key is missing
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tools.plan.estimate import Plan
from tools.plan.memory import allocated
from tools.plan.scoring import MODELS
from tools.predict.correction import Correction


def report(plans: Sequence[Plan]) -> str:
    """All plans as one JSON array."""
    return json.dumps([as_data(plan) for plan in plans], indent=2, ensure_ascii=False, allow_nan=False)


def as_data(plan: Plan) -> dict[str, Any]:
    """One plan as plain data."""
    run = plan.lock.run
    return {
        "file": plan.file,
        "run_id": plan.lock.run_id,
        "sha256": plan.lock.sha256,
        "tenant": run.tenant,
        "name": run.name,
        "environment": run.environment,
        "verdict": plan.verdict,
        "run": run.model_dump(mode="json"),
        "performance": _performance(plan),
        "steps": _steps(plan),
        "tokens": {
            "total": round(plan.duration.tokens),
            "mean_per_row": plan.work.typical,
            "longest": plan.work.longest,
            "measured": plan.work.measured,
        },
        "cut_rows": [{"dataset": cut.dataset, "rows": cut.rows, "over": cut.over} for cut in plan.cuts],
        "memory": _memory(plan),
        "storage_bytes": {
            "checkpoint": plan.disk.checkpoint,
            "checkpoints": plan.disk.checkpoints,
            "result": plan.disk.result,
            "merged": plan.disk.merged,
            "peak": plan.disk.peak,
        },
        "hours": {
            "low": plan.duration.low,
            "high": plan.duration.high,
            "limit": run.resources.time_limit_seconds / 3600,
            "flops_per_token": plan.duration.flops_per_token,
        },
        "prediction": _prediction(plan),
        "evaluation": _evaluation(plan),
        "cost": _cost(plan),
        "quota": [
            {
                "name": share.name,
                "unit": share.unit,
                "before": share.before,
                "after": share.after,
                "allowed": share.allowed,
                "exceeded": share.exceeded,
            }
            for share in plan.shares
        ],
        "approvals": list(plan.approvals),
        "difference": _difference(plan),
        "notes": list(plan.notes),
    }


def _steps(plan: Plan) -> dict[str, Any]:
    names = ("optimisation_steps", "steps_per_epoch", "examples_per_step", "examples", "epochs")
    return {name: getattr(plan.steps, name) for name in names}


def _performance(plan: Plan) -> dict[str, Any] | None:
    locked, settings = plan.lock.run.performance, plan.lock.run.settings
    if locked is not None:
        changes = {key: (written, settings[key]) for key, written in locked.as_written.items()}
        gain, reasons = locked.expected_gain, locked.reasons
    elif plan.advice is not None:
        changes, gain, reasons = dict(plan.advice.changes), plan.advice.gain, list(plan.advice.reasons)
    else:
        return None
    listed = [{"setting": key, "as_written": old, "chosen": new} for key, (old, new) in sorted(changes.items())]
    return {"chosen": locked is not None, "expected_gain": gain, "changes": listed, "reasons": reasons}


def _memory(plan: Plan) -> dict[str, Any]:
    return {
        "device": plan.device,
        "limit_bytes": round(plan.limit),
        "peak_bytes": round(plan.needed),
        "allocated_bytes": round(allocated(plan.parts)),
        "parts": [
            {"name": part.name, "bytes": round(part.bytes), "formula": part.formula, "source": part.source}
            for part in plan.parts
        ],
        "changes": [{"what": change.what, "bytes": round(change.bytes)} for change in plan.changes],
    }


def _prediction(plan: Plan) -> dict[str, Any] | None:
    found = plan.prediction
    if found is None:
        return None
    return {
        "memory": _corrected(round(found.formula_peak), round(found.peak), found.memory),
        "time": _corrected(found.formula_hours, found.hours, found.time),
        "seen": found.seen,
    }


def _corrected(formula: float | None, expected: float | None, by: Correction) -> dict[str, Any]:
    return {"formula": formula, "expected": expected, "error": by.error, "runs": by.runs, "group": list(by.group)}


def _evaluation(plan: Plan) -> dict[str, Any] | None:
    found = plan.scoring
    if found is None:
        return None
    hours = {"hours_low": found.low, "hours_high": found.high, "hours_limit": found.limit}
    return {"models": MODELS, "rows": found.rows, **hours}


def _cost(plan: Plan) -> dict[str, Any]:
    devices = plan.lock.run.resources.gpus * plan.lock.run.resources.nodes
    low, high = (None if hours is None else hours * devices for hours in (plan.duration.low, plan.duration.high))
    return {
        "currency": plan.currency,
        "price_per_gpu_hour": plan.price,
        "gpu_hours_low": low,
        "gpu_hours_high": high,
        "gpu_hours_limit": plan.planned_gpu_hours,
        "low": None if low is None else low * plan.price,
        "high": None if high is None else high * plan.price,
        "limit": plan.planned_gpu_hours * plan.price,
    }


def _difference(plan: Plan) -> dict[str, Any] | None:
    if plan.difference is None:
        return None
    changes = [{"key": key, "old": old, "new": new} for key, old, new in plan.difference.changes]
    return {"nearest": plan.difference.name, "changes": changes}
