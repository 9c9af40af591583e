"""SARIF 2.1.0, which editors and code hosts read. Source: the OASIS standard "Static Analysis Results Interchange Format"."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from tools.findings import Finding
from tools.reporters.text import unicode_only

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def report(findings: Sequence[Finding], files: Sequence[str]) -> str:
    """A log of one run."""
    rules = sorted({finding.rule for finding in findings})
    index = {rule: number for number, rule in enumerate(rules)}
    driver = {"name": "ft validate", "rules": [{"id": rule} for rule in rules]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"ROOT": {"description": {"text": "The root of the repository"}}},
        "artifacts": [{"location": _location(file)} for file in files],
        "results": [_result(finding, index[finding.rule]) for finding in findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(finding: Finding, rule_index: int) -> dict[str, Any]:
    region = {"startLine": finding.line, "startColumn": finding.column}
    place = {"physicalLocation": {"artifactLocation": _location(finding.file), "region": region}}
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": finding.severity,
        "message": {"text": unicode_only(finding.message)},
        "locations": [place],
    }


def _location(file: str) -> dict[str, str]:
    return {"uri": quote(file.encode("utf-8", "surrogateescape")), "uriBaseId": "ROOT"}
