"""A served version has not failed its evaluation.

The experiment's `evaluation:` scores the model on held-out data beside its base and the current champion. One that failed is
never promoted; one that was not evaluated is a warning, and the approvers decide.

Fails:

    run_id: exp-001-3fa1b2c3      # its record: evaluation: failed

Passes:

    run_id: exp-002-9c0d1e2f      # its record: evaluation: passed
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tools.findings import Finding
from tools.formats.serving import Serving
from tools.rules.entry import Entry
from tools.rules.served import is_served, record, registered

ID = "serving-evaluation"
KIND = "serving"
NEEDS = ("run_id",)


def check(entry: Entry[Serving]) -> Iterator[Finding]:
    """Look at the verdict that the bot recorded."""
    found = record(entry)
    made = registered(found) if found is not None else None
    if made is None or made.evaluation == "passed":
        return
    failed = made.evaluation == "failed"
    what = f"the evaluation of {entry.value.run_id} {'failed' if failed else 'is missing'}"
    remedy = "train a better one, or serve an earlier version" if failed else "give the experiment an `evaluation:`"
    finding = entry.parsed.document.finding(("run_id",), ID, what, "one that passed", remedy)
    yield finding if failed and not is_served(entry) else replace(finding, severity="warning")
