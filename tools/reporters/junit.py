"""JUnit XML, as GitLab and Jenkins show it: one test case for each file, failed by its errors.

Source: GitLab's documentation "Unit test reports"; the schema of the Jenkins xUnit plugin.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from tools.findings import Finding
from tools.reporters.text import one_line


def report(findings: Sequence[Finding], files: Sequence[str]) -> str:
    """One test suite whose test cases are the files."""
    by_file = defaultdict(list)
    for finding in findings:
        by_file[finding.file].append(finding)
    failures = sum(any(f.severity == "error" for f in found) for found in by_file.values())
    numbers = f'tests="{len(files)}" failures="{failures}" errors="0" skipped="0" time="0"'
    cases = "".join(_case(file, by_file[file]) for file in files)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites {numbers}>\n'
        f'<testsuite name="ft validate" {numbers}>\n{cases}</testsuite>\n</testsuites>\n'
    )


def _case(file: str, findings: Sequence[Finding]) -> str:
    name = quoteattr(one_line(file))
    opening = f'<testcase classname="ft validate" name={name} file={name} time="0"'
    errors = [finding for finding in findings if finding.severity == "error"]
    warnings = [finding for finding in findings if finding.severity == "warning"]
    body = ""
    if errors:
        message = quoteattr(one_line(errors[0].message))
        body += f"<failure type={quoteattr(errors[0].rule)} message={message}>{_lines(errors)}</failure>\n"
    if warnings:
        body += f"<system-out>{_lines(warnings)}</system-out>\n"
    return f"{opening}>\n{body}</testcase>\n" if body else f"{opening}/>\n"


def _lines(findings: Sequence[Finding]) -> str:
    lines = (f"{finding.place}: {finding.rule}: {finding.message}" for finding in findings)
    # XML 1.0 knows no control characters and no surrogates, not even escaped.
    return escape("\n".join(one_line(line) for line in lines))
