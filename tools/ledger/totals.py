"""Attempts added up by tenant, model or month, never over two currencies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from tools.ledger.entries import Entry

By = Literal["tenant", "model", "month"]
Key = tuple[str, ...]


@dataclass(slots=True)
class Total:
    """One group in one currency (None: no price was recorded). Hours are GPU-hours, as `Entry` explains them.

    idle, tokens, cost: None as long as nobody knows of any. idle_of: the used hours of which the idle ones are known.
    """

    key: Key
    currency: str | None
    runs: set[Key] = field(default_factory=set)
    attempts: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0
    unmeasured: int = 0
    planned: float = 0.0
    used: float = 0.0
    committed: float = 0.0
    idle: float | None = None
    idle_of: float = 0.0
    tokens: int | None = None
    cost: float | None = None

    def add(self, entry: Entry) -> None:
        """One more attempt."""
        self.runs.add(entry.run)
        self.attempts += 1
        self.finished += entry.result == "finished"
        self.failed += entry.result == "failed"
        self.cancelled += entry.result == "cancelled"
        self.running += entry.result is None
        self.unmeasured += entry.result is not None and not entry.measured
        self.planned += entry.planned
        self.used += entry.used
        self.committed += entry.committed
        if entry.idle is not None:
            self.idle = (self.idle or 0.0) + entry.idle
            self.idle_of += entry.used
        if entry.tokens is not None:
            self.tokens = (self.tokens or 0) + entry.tokens
        if entry.cost is not None:
            self.cost = (self.cost or 0.0) + entry.cost


def totals(entries: Iterable[Entry], by: By) -> list[Total]:
    """Groups in order; a tenant is one for each environment, for so is its budget. A run counts in each month that it had an attempt in."""
    found: dict[tuple[Key, str | None], Total] = {}
    for entry in entries:
        key = _key(entry, by)
        if (key, entry.currency) not in found:
            found[key, entry.currency] = Total(key, entry.currency)
        found[key, entry.currency].add(entry)
    return sorted(found.values(), key=lambda total: (total.key, total.currency or ""))


def _key(entry: Entry, by: By) -> Key:
    if by == "tenant":
        return entry.tenant, entry.environment
    return (entry.model,) if by == "model" else (entry.month,)
