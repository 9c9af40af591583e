"""A table for a merge request's comment. Nothing from a file can become markup, a link or a mention."""

from __future__ import annotations

from collections.abc import Sequence

from tools.findings import Finding
from tools.markdown import escaped
from tools.reporters.text import one_line, summary

_MOST = 200


def report(findings: Sequence[Finding], files: Sequence[str]) -> str:
    """A summary and at most `_MOST` rows, errors first."""
    lines = [f"**{_escaped(summary(findings, files))}**", ""]
    if findings:
        lines += ["| where | rule | finding |", "| --- | --- | --- |"]
        worst_first = sorted(findings, key=lambda finding: finding.severity)
        lines += [_row(finding) for finding in worst_first[:_MOST]]
    if len(findings) > _MOST:
        lines += ["", f"{len(findings) - _MOST} more: run `ft validate`"]
    return "\n".join([*lines, ""])


def _row(finding: Finding) -> str:
    mark = "" if finding.severity == "error" else "warning, "
    return f"| {_escaped(finding.place)} | {mark}{_escaped(finding.rule)} | {_escaped(finding.message)} |"


def _escaped(text: str) -> str:
    return escaped(one_line(text))
