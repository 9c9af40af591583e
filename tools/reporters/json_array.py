"""An array of {file, line, column, rule, severity, message}, for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tools.findings import Finding
from tools.reporters.text import unicode_only


def report(findings: Sequence[Finding], files: Sequence[str]) -> str:
    """The findings as JSON, ASCII only."""
    del files
    return json.dumps([_entry(finding) for finding in findings], indent=2) + "\n"


def _entry(finding: Finding) -> dict[str, Any]:
    return asdict(finding) | {"file": unicode_only(finding.file), "message": unicode_only(finding.message)}
