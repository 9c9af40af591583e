"""GitLab's Code Quality report: findings as remarks in a merge request's diff.

Source: GitLab's documentation "Code Quality", section on the report format.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence

from tools.findings import Finding
from tools.reporters.text import unicode_only

_SEVERITIES = {"error": "major", "warning": "minor"}
_LINE = re.compile(r"\bline [0-9]+")


def report(findings: Sequence[Finding], files: Sequence[str]) -> str:
    """An array of description, check_name, fingerprint, severity and location."""
    del files
    seen: Counter[str] = Counter()
    entries = []
    for finding in findings:
        # A remark is the same one when lines above it were added: no line numbers in its fingerprint.
        same = "\0".join((finding.file, finding.rule, _LINE.sub("line", finding.message)))
        seen[same] += 1
        digest = hashlib.sha256(f"{same}\0{seen[same]}".encode("utf-8", "backslashreplace"))
        entries.append(
            {
                "description": unicode_only(finding.message),
                "check_name": finding.rule,
                "fingerprint": digest.hexdigest(),
                "severity": _SEVERITIES[finding.severity],
                "location": {"path": unicode_only(finding.file), "lines": {"begin": finding.line}},
            }
        )
    return json.dumps(entries, indent=2) + "\n"
