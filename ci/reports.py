"""The reports that a job leaves: for GitLab's widgets, for machines, and as text in the job's log."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.reporters import REPORTERS
from tools.validate import Result

# File -> reporter. .gitlab-ci.yml hands the first two to GitLab.
FILES = {"findings.junit.xml": "junit", "findings.codequality.json": "codequality", "findings.json": "json"}


def write(folder: Path, result: Result) -> None:
    """Write every report into `folder`, and the findings as text to standard output."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, reporter in FILES.items():
        text = REPORTERS[reporter](result.findings, result.files)
        (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
    text = REPORTERS["text"](result.findings, result.files)
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
