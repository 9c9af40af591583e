"""The books as text, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tools.findings import Finding
from tools.ledger.budgets import Budget
from tools.ledger.totals import By, Key, Total
from tools.models.listing import table

FORMATS = ("text", "json", "csv", "markdown")
_KEYS: Mapping[By, tuple[str, ...]] = {"tenant": ("tenant", "environment"), "model": ("model",), "month": ("month",)}
_COUNTS = ("runs", "attempts", "running", "finished", "failed", "cancelled", "unmeasured")
_NOTHING = "-"

Budgets = Mapping[Key, Budget]


def show(totals: Sequence[Total], budgets: Budgets, broken: Sequence[Finding], by: By, form: str) -> str:
    """All groups; `broken` is in the JSON alone, for otherwise stderr names them."""
    rows = [_row(total, budgets.get(total.key), by) for total in totals]
    if form == "json":
        faults = [{"file": each.file, "line": each.line, "message": each.message} for each in broken]
        return json.dumps({"by": by, "rows": rows, "broken": faults}, indent=2, allow_nan=False) + "\n"
    head = list(rows[0]) if rows else list(_row(Total(("",) * len(_KEYS[by]), None), None, by))
    if form == "csv":
        return _csv(head, rows)
    return table(
        [_TITLES.get(name, name) for name in head], [[_cell(row, name) for name in head] for row in rows], form
    )


def _row(total: Total, budget: Budget | None, by: By) -> dict[str, Any]:
    """A group as plain data with stable keys; hours are GPU-hours, null is not known."""
    row: dict[str, Any] = dict(zip(_KEYS[by], total.key, strict=True))
    row |= {"runs": len(total.runs), **{name: getattr(total, name) for name in _COUNTS[1:]}}
    row |= {
        "planned_gpu_hours": round(total.planned, 4),
        "used_gpu_hours": round(total.used, 4),
        "committed_gpu_hours": round(total.committed, 4),
        "idle_gpu_hours": None if total.idle is None else round(total.idle, 4),
        "idle_known_gpu_hours": round(total.idle_of, 4),
        "tokens": total.tokens,
        "cost": None if total.cost is None else round(total.cost, 2),
        "currency": total.currency,
    }
    if by == "tenant":
        row |= {
            "budget_month": budget.month if budget else None,
            "budget_used_gpu_hours": round(budget.used, 4) if budget else None,
            "budget_gpu_hours": budget.allowed if budget else None,
        }
    return row


_TITLES = {
    "unmeasured": "not measured",
    "planned_gpu_hours": "planned",
    "used_gpu_hours": "used",
    "committed_gpu_hours": "committed",
    "idle_gpu_hours": "idle",
    "idle_known_gpu_hours": "idle of",
    "budget_month": "in month",
    "budget_used_gpu_hours": "used and committed",
    "budget_gpu_hours": "of budget",
}


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if value is None:
        return _NOTHING
    if name == "budget_gpu_hours" and row["budget_used_gpu_hours"] > value:
        return f"{value:,} EXCEEDED"
    form: Callable[[Any], str] = str
    if isinstance(value, float):
        form = "{:,.2f}".format if name == "cost" else "{:,.1f}".format
    elif isinstance(value, int):
        form = "{:,}".format
    return form(value)


def _csv(head: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """With a line of the names, decimal points, and empty where nothing is known."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(row.values() for row in rows)
    return target.getvalue()


def notes(totals: Sequence[Total]) -> Iterator[str]:
    """What a reader of the numbers has to know."""
    if any(total.unmeasured for total in totals):
        yield "what ended without a measurement is counted at its limit, as the quota counts it"
    if any(total.currency is None for total in totals):
        yield "rows without a currency: no price was recorded when those were authorized"
