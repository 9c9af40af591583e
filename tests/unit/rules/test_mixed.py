"""Files with several faults of all sorts: each fault is one finding at its own position."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.unit.rules.expectations import FIXTURES, expected_in
from tools.cli import main


@pytest.mark.parametrize("case", sorted((FIXTURES / "mixed").glob("*.yaml")), ids=lambda case: case.stem)
def test_each_fault_is_one_finding(case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All faults are found in one run, none twice, each at the line and column of its key or value."""
    root = tmp_path / "repository"
    shutil.copytree(FIXTURES / "repository", root)
    file = root / "experiments" / "team-a" / case.name
    shutil.copy(case, file)
    assert main(["validate", "--repo", str(root), "--format", "json", str(file)]) == 1
    findings = json.loads(capsys.readouterr().out)
    places = [(finding["line"], finding["column"], finding["rule"]) for finding in findings]
    assert places == expected_in(case), [finding["message"] for finding in findings]
    assert len({place[:2] for place in places}) == len(places)
