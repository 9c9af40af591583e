"""One line a finding, clickable in terminals and editors, and a summary."""

from __future__ import annotations

from collections.abc import Sequence

from tools.findings import Finding


def report(findings: Sequence[Finding], files: Sequence[str]) -> str:
    """`file:line:column: severity rule: message` lines, then how many there are of what."""
    lines = [f"{one_line(f.place)}: {f.severity} {f.rule}: {one_line(f.message)}" for f in findings]
    return "\n".join([*lines, summary(findings, files), ""])


def summary(findings: Sequence[Finding], files: Sequence[str]) -> str:
    """The result in one sentence."""
    looked_at = count(len(files), "file")
    if not findings:
        return f"{looked_at}: no findings"
    errors = sum(finding.severity == "error" for finding in findings)
    faulty = len({finding.file for finding in findings})
    return f"{looked_at}: {count(errors, 'error')} and {count(len(findings) - errors, 'warning')} in {faulty}"


def count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def one_line(text: str) -> str:
    """Text without control characters and lone surrogates: nothing in a file may look like a line of ours."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def unicode_only(text: str) -> str:
    """Text without lone surrogates, which stand for bytes of a file name that are no UTF-8 and which strict JSON refuses."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
