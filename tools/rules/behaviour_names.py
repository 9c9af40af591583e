"""Each case of a file of behaviours has a name of its own.

Reports name a failed case by file and name; with two of one name nobody knows which failed.

Fails:

    cases: [{name: greets, prompt: Hello}, {name: greets, prompt: Good evening}]

Passes:

    cases: [{name: greets, prompt: Hello}, {name: greets-late, prompt: Good evening}]
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.behaviour import Behaviour
from tools.rules.entry import Entry

ID = "behaviour-names"
KIND = "behaviour"
NEEDS = ("cases",)


def check(entry: Entry[Behaviour]) -> Iterator[Finding]:
    """Report each name that was there before."""
    seen = set()
    for index, case in enumerate(entry.value.cases):
        if case.name in seen:
            place, remedy = ("cases", index, "name"), "rename one of them"
            text = f"the case {quote(case.name)} a second time"
            yield entry.parsed.document.finding(place, ID, text, "each name once", remedy)
        seen.add(case.name)
