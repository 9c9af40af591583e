"""The counts of a manifest agree with each other.

`ft dataset add` counts them; a manifest edited by hand can contradict itself, and the plan would be wrong.

Fails:

    rows: 10
    empty_rows: 12

Passes:

    rows: 10
    empty_rows: 1
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.formats.dataset import Dataset
from tools.rules.entry import Entry

ID = "dataset-counts"
KIND = "dataset"
NEEDS = ("rows",)
_REMEDY = "run `ft dataset add` again"


def check(entry: Entry[Dataset]) -> Iterator[Finding]:
    """Compare the counts."""
    dataset, document, usable = entry.value, entry.parsed.document, entry.parsed.usable
    for field in ("empty_rows", "duplicate_rows"):
        count = getattr(dataset, field)
        if usable(field) and count > dataset.rows:
            yield document.finding((field,), ID, f"{count} of {dataset.rows} rows", f"at most {dataset.rows}", _REMEDY)
    tokens = dataset.tokens if usable("tokens") else None
    if tokens is None:
        return
    if not tokens.p50 <= tokens.p90 <= tokens.p99 <= tokens.max:
        found = f"percentiles {tokens.p50}, {tokens.p90}, {tokens.p99}, max {tokens.max}"
        yield document.finding(("tokens",), ID, found, "p50 <= p90 <= p99 <= max", _REMEDY, key=True)
    counted = sum(tokens.histogram.values())
    if tokens.histogram and counted > dataset.rows:
        found = f"{counted} rows in the histogram of {dataset.rows}"
        yield document.finding(("tokens", "histogram"), ID, found, f"at most {dataset.rows}", _REMEDY, key=True)
