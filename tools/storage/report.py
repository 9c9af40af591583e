"""A survey as data (`--format json`) and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tools.findings import quote
from tools.plan.words import size
from tools.storage.retention import Verdict
from tools.storage.survey import Survey

_WIDTHS = (11, 11, 6)


def data(survey: Survey) -> dict[str, Any]:
    """Everything, in bytes and ISO 8601; the fields are those that docs/operations.md lists."""
    owned, others = _by_run(survey)
    return {
        "tenant": survey.tenant,
        "environment": survey.environment,
        "storage": str(survey.tree.root),
        "at": _stamp(survey.at),
        "quota_bytes": survey.quota,
        "used_bytes": survey.used,
        "removable_bytes": sum(each.part.size.used for each in survey.removable),
        "retention": survey.retention.model_dump(mode="json"),
        "unknown": list(survey.unknown),
        "runs": [_run(survey, run_id, verdicts) for run_id, verdicts in owned.items()],
        "others": [part(each) for each in others],
    }


def part(verdict: Verdict) -> dict[str, Any]:
    """One part with its verdict. A name that is no UTF-8 has its odd bytes as lone surrogates."""
    found = verdict.part
    return {
        "kind": found.kind,
        "path": found.path,
        "run_id": found.run_id,
        "bytes": found.size.used,
        "files": found.size.files,
        "newest": _stamp(datetime.fromtimestamp(found.size.newest, UTC)) if found.size.files else None,
        "faults": found.size.faults,
        "removable": verdict.removable,
        "reason": verdict.reason,
    }


def lines(survey: Survey) -> Iterator[str]:
    """The report for people."""
    share = survey.used / survey.quota
    yield f"{survey.tenant} in {survey.environment}: {size(survey.used)} of {size(survey.quota)} ({share:.0%}) on {survey.tree.root}"
    owned, others = _by_run(survey)
    for run_id, verdicts in owned.items():
        held = sum(each.part.size.used for each in verdicts)
        yield f"\n{run_id}  {_state(survey, run_id)}, {size(held)}"
        yield from (line(survey, each) for each in verdicts)
    if others:
        yield "\nof no run"
        yield from (line(survey, each) for each in others)
    yield ""
    yield from (f"not known: {why}" for why in survey.unknown)
    freed = sum(each.part.size.used for each in survey.removable)
    command = f"ft storage prune {survey.tenant} --env {survey.environment} --storage {survey.tree.root}"
    yield f"{size(freed)} may go: `{command}`" if survey.removable else "nothing may go by the tenant's retention"
    if survey.used > survey.quota:
        yield f"above the quota: {size(survey.used)} > {size(survey.quota)}; prune, or raise quota.storage_gib of the tenant"


def line(survey: Survey, verdict: Verdict) -> str:
    """One part: kind, size, age, and what becomes of it."""
    found = verdict.part
    age = f"{max(0, int(survey.at.timestamp() - found.size.newest) // 86400)} d" if found.size.files else "-"
    columns = (found.kind, size(found.size.used), age)
    cells = "".join(f"{cell:<{width}} " for cell, width in zip(columns, _WIDTHS, strict=True))
    where = "" if found.run_id and found.kind not in {"staging", "removed"} else f"{quote(found.path, 120)}: "
    return f"  {cells}{where}{'may go' if verdict.removable else 'stays'}: {verdict.reason}"


def _by_run(survey: Survey) -> tuple[dict[str, list[Verdict]], list[Verdict]]:
    """The parts of each run, the largest run first, and those of none."""
    owned: dict[str, list[Verdict]] = {}
    for each in survey.verdicts:
        if each.part.run_id is not None:
            owned.setdefault(each.part.run_id, []).append(each)
    ordered = sorted(owned.items(), key=lambda item: (-sum(each.part.size.used for each in item[1]), item[0]))
    return dict(ordered), [each for each in survey.verdicts if each.part.run_id is None]


def _run(survey: Survey, run_id: str, verdicts: list[Verdict]) -> dict[str, Any]:
    run = survey.runs.get(run_id)
    return {
        "run_id": run_id,
        "experiment": run.experiment if run else None,
        "state": run.state if run else None,
        "ended": _stamp(run.ended) if run and run.ended else None,
        "bytes": sum(each.part.size.used for each in verdicts),
        "parts": [part(each) for each in verdicts],
    }


def _state(survey: Survey, run_id: str) -> str:
    run = survey.runs.get(run_id)
    if run is None:
        return "unknown to git"
    return f"{run.state} {run.ended:%Y-%m-%d}" if run.ended else run.state


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
