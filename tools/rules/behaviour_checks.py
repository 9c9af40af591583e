r"""Every check of a behaviour can be made: its pattern compiles, its JSON Schema is one.

Patterns have Rust's regex syntax, which takes linear time whatever the answer: no look-around and no back-references
(https://docs.rs/regex). A schema (draft 2020-12) refers to its own parts only; nothing is fetched.

Fails:

    checks: {matches: '(?=card)'}
    checks: {json_schema: {type: objekt}}

Passes:

    checks: {matches: '(?i)\bcards?\b'}
    checks: {json_schema: {type: object, required: [topic]}}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.behaviour import Behaviour
from tools.formats.checking import Unusable, pattern, schema
from tools.rules.entry import Entry

ID = "behaviour-checks"
KIND = "behaviour"
NEEDS = ("cases",)


def check(entry: Entry[Behaviour]) -> Iterator[Finding]:
    """Compile each."""
    for index, case in enumerate(entry.value.cases):
        where = ("cases", index, "checks")
        if case.checks.matches is not None:
            try:
                pattern(case.checks.matches)
            except Unusable as error:
                text = f"pattern {quote(case.checks.matches)}: {error}"
                remedy = "write it without look-around and back-references, and with smaller repetitions"
                yield entry.parsed.document.finding((*where, "matches"), ID, text, "Rust's regex syntax", remedy)
        if case.checks.json_schema is not None:
            try:
                schema(case.checks.json_schema)
            except Unusable as error:
                text, allowed = f"JSON Schema: {error}", "a schema of draft 2020-12 that refers to itself only"
                where_schema = (*where, "json_schema")
                yield entry.parsed.document.finding(where_schema, ID, text, allowed, "correct the schema", key=True)
