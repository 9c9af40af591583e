"""Adding up, for any attempts that records can hold."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tools.ledger.entries import Entry
from tools.ledger.totals import totals

HOURS = st.floats(0, 1e9)
ENTRIES = st.lists(
    st.builds(
        Entry,
        run=st.tuples(st.sampled_from(["dev", "prod"]), st.sampled_from(["team-a", "team-b"]), st.sampled_from("abc")),
        model=st.sampled_from(["one-b", "seven-b", "unknown"]),
        attempt=st.integers(1, 99),
        month=st.sampled_from(["2026-10", "2026-11"]),
        result=st.sampled_from(["finished", "failed", "cancelled", None]),
        measured=st.booleans(),
        planned=HOURS,
        used=HOURS,
        committed=HOURS,
        idle=st.none() | HOURS,
        tokens=st.none() | st.integers(0, 10**15),
        cost=st.none() | st.floats(0, 1e15),
        currency=st.sampled_from(["PLN", "EUR", None]),
    ),
    max_size=30,
)


@given(ENTRIES, st.sampled_from(["tenant", "model", "month"]))
def test_nothing_is_lost_counted_twice_or_mixed(entries: list[Entry], by: str) -> None:
    """Each attempt is in one row, hours and tokens add up to all, and no row holds the cost of another currency."""
    rows = totals(entries, by)  # type: ignore[arg-type]  # drawn from the names
    assert sum(row.attempts for row in rows) == len(entries)
    assert sum(row.finished + row.failed + row.cancelled + row.running for row in rows) == len(entries)
    assert sum(row.tokens or 0 for row in rows) == sum(entry.tokens or 0 for entry in entries)
    for name in ("planned", "used", "committed", "idle"):
        parts = [getattr(entry, name) or 0 for entry in entries]
        assert math.isclose(sum(getattr(row, name) or 0 for row in rows), sum(parts), rel_tol=1e-9, abs_tol=1e-9)
    for row in rows:
        costs = [entry.cost or 0 for entry in entries if entry.currency == row.currency]
        assert (row.cost or 0) <= sum(costs) * (1 + 1e-9)
        assert len(row.runs) <= row.attempts
    assert [(row.key, row.currency or "") for row in rows] == sorted({(row.key, row.currency or "") for row in rows})
