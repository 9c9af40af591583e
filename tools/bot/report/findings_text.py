"""Findings as a table whose places lead to the file's line at the head commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tools.bot.report.escape import count, folded, shown, table
from tools.bot.report.links import Links
from tools.findings import Finding

MOST = 100
_HEAD = ("where", "what was found, what is allowed, what to do", "rule")
_MARKS = {"error": "❌", "warning": "⚠️"}


def in_words(findings: Sequence[Finding]) -> str:
    """`2 errors and 1 warning in 2 files`; empty without any."""
    errors = sum(finding.severity == "error" for finding in findings)
    parts = [count(number, noun) for number, noun in ((errors, "error"), (len(findings) - errors, "warning")) if number]
    files = len({finding.file for finding in findings})
    return f"{' and '.join(parts)} in {count(files, 'file')}" if parts else ""


def lines(findings: Sequence[Finding], links: Links) -> Iterator[str]:
    """The table, errors first, and what of it is too much."""
    worst_first = sorted(findings, key=lambda finding: finding.severity)
    yield from table(_HEAD, (_row(finding, links) for finding in worst_first[:MOST]))
    yield ""
    if len(findings) > MOST:
        yield f"{len(findings) - MOST:,} more: `ft validate` in a checkout of the branch lists all of them."
        yield ""


def elsewhere(findings: Sequence[Finding], links: Links) -> Iterator[str]:
    """Errors in files that the merge request does not change."""
    summary = f"{in_words(findings)} that this merge request does not change, but may have caused"
    yield from folded(summary, lines(findings, links))
    yield ""


def _row(finding: Finding, links: Links) -> tuple[str, str, str]:
    removed = finding.rule == "expand-experiment"
    place = shown(finding.file) if removed else links.file(finding.file, finding.line)
    return f"{_MARKS[finding.severity]} {place}", shown(finding.message), links.rule(finding.rule)
