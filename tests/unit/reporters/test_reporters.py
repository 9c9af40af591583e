"""Reporters, on the findings in fixtures/findings.json: ordinary ones and hostile ones."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from tools.findings import Finding
from tools.markdown import escaped
from tools.reporters import REPORTERS

FIXTURE = Path(__file__).parents[2] / "fixtures" / "findings.json"
FILES = [
    "experiments/team-a/exp-001.yaml",
    "experiments/team-a/exp-002.yaml",
    "experiments/team-a/o\udcffdd & <b>.yaml",
]
FINDINGS = [Finding(**entry) for entry in json.loads(FIXTURE.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("name", REPORTERS)
def test_every_reporter_reports_nothing_found(name: str) -> None:
    """No findings and no files are a report as well."""
    assert REPORTERS[name]([], []).endswith("\n")


@pytest.mark.parametrize("name", REPORTERS)
def test_no_report_holds_control_characters(name: str) -> None:
    """Whatever a file is called or holds, a report has no escape codes, NULs or carriage returns in it."""
    text = REPORTERS[name](FINDINGS, FILES)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", text)


@pytest.mark.parametrize("name", ["json", "codequality", "sarif"])
def test_json_is_strict(name: str) -> None:
    """No lone surrogates, not even escaped: parsers stricter than Python's refuse them."""
    assert not re.search(r"(?<!\\)\\ud[89a-f]", REPORTERS[name](FINDINGS, FILES))


def test_text_has_a_line_a_finding_and_a_summary() -> None:
    """Each finding begins with a clickable place; the last line counts."""
    lines = REPORTERS["text"](FINDINGS, FILES).splitlines()
    assert len(lines) == len(FINDINGS) + 1
    assert lines[0].startswith("experiments/team-a/exp-001.yaml:5:3: error train-unknown-key: ")
    assert lines[-1] == "3 files: 5 errors and 1 warning in 2"


def test_json_gives_the_findings_back() -> None:
    """The json report is the findings, with the contract's keys in the contract's order."""
    entries = json.loads(REPORTERS["json"](FINDINGS, FILES))
    assert [Finding(**entry) for entry in entries[:4]] == FINDINGS[:4]
    assert entries[4]["file"] == "experiments/team-a/o\\udcffdd & <b>.yaml"
    assert list(entries[0]) == ["file", "line", "column", "rule", "severity", "message"]


def test_junit_is_what_gitlab_and_jenkins_read() -> None:
    """One test case a file; errors fail it, warnings do not; the counts agree with the cases."""
    root = ET.fromstring(REPORTERS["junit"](FINDINGS, FILES))
    assert root.tag == "testsuites"
    (suite,) = root
    cases = list(suite)
    assert {case.tag for case in cases} == {"testcase"}
    assert [int(suite.attrib[key]) for key in ("tests", "failures", "errors", "skipped")] == [3, 2, 0, 0]
    assert [len(case.findall("failure")) for case in cases] == [1, 0, 1]
    assert cases[0].attrib["file"] == cases[0].attrib["name"] == FILES[0]
    assert "exp-001.yaml:9:3: priority" in (cases[0].findtext("system-out") or "")
    for failure in root.iter("failure"):
        assert failure.attrib["message"]
        assert failure.attrib["type"]


def test_codequality_has_what_gitlab_needs() -> None:
    """Each entry has GitLab's required keys and a severity that it knows."""
    for entry in json.loads(REPORTERS["codequality"](FINDINGS, FILES)):
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert entry["location"]["lines"]["begin"] >= 1


def test_codequality_fingerprints_are_unique_and_survive_moved_lines() -> None:
    """Two equal findings differ in fingerprint; lines added above change none."""
    moved = [Finding(f.file, f.line + 7, f.column, f.rule, f.severity, f.message) for f in FINDINGS]
    moved[1] = Finding(**{**_as_dict(moved[1]), "message": moved[1].message.replace("line 5", "line 12")})
    before, after = (
        [e["fingerprint"] for e in json.loads(REPORTERS["codequality"](x, FILES))] for x in (FINDINGS, moved)
    )
    assert before == after
    assert len(set(before)) == len(before)


def test_sarif_has_what_the_standard_requires() -> None:
    """Version, tool, rules that the results point to, and places counted from 1."""
    log = json.loads(REPORTERS["sarif"](FINDINGS, FILES))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    assert len(run["results"]) == len(FINDINGS)
    for result, finding in zip(run["results"], FINDINGS, strict=True):
        assert rules[result["ruleIndex"]] == result["ruleId"] == finding.rule
        assert result["level"] in {"none", "note", "warning", "error"}
        place = result["locations"][0]["physicalLocation"]
        assert place["region"] == {"startLine": finding.line, "startColumn": finding.column}
        assert re.fullmatch(r"[A-Za-z0-9/._~%-]+", place["artifactLocation"]["uri"])


def test_markdown_shows_hostile_text_as_text() -> None:
    """Markup, mentions, HTML and table bars of a file cannot act in a comment, and still read the same."""
    text = REPORTERS["markdown"](FINDINGS, FILES)
    rendered = MarkdownIt("commonmark").enable("table").render(text)
    assert set(re.findall(r"</?([a-z0-9]+)", rendered)) == {"p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert rendered.count("<td>") == 3 * len(FINDINGS)
    assert "@everyone <img src=x>" in unescape(rendered)
    assert not re.search(r"(?<!\\)[@#!~%](?=\w)", text), "GitLab would resolve a reference"


def test_markdown_is_bounded() -> None:
    """Thousands of findings do not exceed what a comment may hold."""
    many = FINDINGS[:1] * 5000
    text = REPORTERS["markdown"](many, FILES)
    assert "4800 more" in text
    assert len(text) < 200_000


def test_escaping_keeps_every_printable_character() -> None:
    """What a reader sees is what the file holds."""
    printable = "".join(chr(code) for code in range(32, 0x3000) if chr(code).isprintable())
    rendered = MarkdownIt("commonmark").render(escaped(printable))
    assert unescape(rendered).strip() == f"<p>{' '.join(printable.split())}</p>"


def _as_dict(finding: Finding) -> dict[str, object]:
    return {name: getattr(finding, name) for name in Finding.__slots__}
