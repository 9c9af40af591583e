"""The job `validate` as a whole, in real git repositories."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ci.check import main
from ci.reports import FILES
from tests.unit.ci.conftest import ROOT, Checkout

EXPERIMENT = "experiments/team-a/exp-001.yaml"
NEW = "experiments/team-a/exp-002.yaml"


@pytest.fixture
def merge_request(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """The checkout as the pipeline of a merge request of anna.nowak, member of team-a, sees it."""
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", checkout.head)
    monkeypatch.setenv("CI_MERGE_REQUEST_IID", "7")
    monkeypatch.setenv("GITLAB_USER_ID", "101")
    monkeypatch.setenv("GITLAB_USER_LOGIN", "anna.nowak")
    return checkout


def findings(folder: Path) -> list[tuple[str, str, str]]:
    """File, rule and severity of each finding in the JSON report."""
    return [
        (each["file"], each["rule"], each["severity"]) for each in json.loads((folder / "findings.json").read_text())
    ]


def test_good_experiment_passes_with_its_plan(merge_request: Checkout, tmp_path: Path) -> None:
    """A member's new experiment is validated, planned and built, and no report has a finding."""
    merge_request.commit({NEW: (ROOT / EXPERIMENT).read_text().replace("topic-sorter", "topic-sorter-2")})
    assert main(["--reports", str(tmp_path)]) == 0
    assert findings(tmp_path) == []
    assert json.loads((tmp_path / "findings.codequality.json").read_text()) == []
    assert "exp-002" in (tmp_path / "plan.md").read_text()
    assert [plan["file"] for plan in json.loads((tmp_path / "plan.json").read_text())] == [NEW]
    assert not (merge_request.root / "overlays/dev/team-a/exp-002").exists()


def test_every_fault_is_in_every_report(merge_request: Checkout, tmp_path: Path) -> None:
    """Faults of an experiment and of an overlay fail the job together, and each report names both files."""
    lock = "overlays/dev/team-a/exp-001/kustomization.yaml"
    merge_request.commit({NEW: (ROOT / "tests/gitlab-ci/broken.yaml").read_text(), lock: "resources: []\n"})
    assert main(["--reports", str(tmp_path)]) == 1
    errors = {(file, rule) for file, rule, severity in findings(tmp_path) if severity == "error"}
    assert (lock, "expand-changed") in errors
    assert {file for file, _ in errors} >= {NEW, lock}
    suite = ET.fromstring((tmp_path / "findings.junit.xml").read_text())
    assert {case.get("file") for case in suite.iter("testcase") if case.find("failure") is not None} >= {NEW, lock}
    remarks = json.loads((tmp_path / "findings.codequality.json").read_text())
    assert {remark["location"]["path"] for remark in remarks} >= {NEW, lock}
    assert (tmp_path / "plan.md").read_text() == "No experiment was added or changed.\n"


def test_changed_authorized_experiment_is_refused(merge_request: Checkout, tmp_path: Path) -> None:
    """An experiment with an overlay may not change, and the check of its overlay says so too."""
    text = (ROOT / EXPERIMENT).read_text()
    merge_request.commit({EXPERIMENT: text.replace("lora_rank: 8", "lora_rank: 16")})
    assert main(["--reports", str(tmp_path)]) == 1
    assert {rule for file, rule, _ in findings(tmp_path) if file == EXPERIMENT} >= {"immutable", "expand-experiment"}


def test_what_the_author_may_not_change_alone_is_marked(merge_request: Checkout, tmp_path: Path) -> None:
    """Files outside the author's tenants are warnings that name an admin's approval; they fail nothing."""
    tenant = "tenants/team-a/tenant.yaml"
    merge_request.commit({tenant: (ROOT / tenant).read_text() + "\n", "Dockerfile": "FROM scratch\n"})
    assert main(["--reports", str(tmp_path)]) == 0
    marked = [("Dockerfile", "needs-admin", "warning"), (tenant, "needs-admin", "warning")]
    assert findings(tmp_path) == marked
    remarks = json.loads((tmp_path / "findings.codequality.json").read_text())
    assert all("platform admin has to approve" in remark["description"] for remark in remarks)


def test_nobody_makes_himself_a_member(
    merge_request: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Membership counts as the target branch has it, not as the merge request writes it; a taken-over name is nobody."""
    monkeypatch.setenv("GITLAB_USER_ID", "999")
    tenant = "tenants/team-a/tenant.yaml"
    joined = (ROOT / tenant).read_text().replace("id: 101", "id: 999")
    merge_request.commit({tenant: joined, NEW: (ROOT / EXPERIMENT).read_text().replace("topic-sorter", "another")})
    assert main(["--reports", str(tmp_path)]) == 0
    assert {(file, rule) for file, rule, _ in findings(tmp_path)} == {(tenant, "needs-admin"), (NEW, "needs-admin")}


def test_main_is_not_marked(checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On main nobody is asked for an approval any more."""
    monkeypatch.setenv("CI_COMMIT_BEFORE_SHA", checkout.head)
    monkeypatch.setenv("GITLAB_USER_ID", "101")
    checkout.commit({"Dockerfile": "FROM scratch\n"})
    assert main(["--reports", str(tmp_path)]) == 0
    assert findings(tmp_path) == []


@pytest.mark.usefixtures("checkout")
def test_everything_passes_on_the_repository_itself(tmp_path: Path) -> None:
    """Where nobody knows what changed all files and overlays are checked, and those of this repository are fine."""
    assert main(["--reports", str(tmp_path)]) == 0
    suite = ET.fromstring((tmp_path / "findings.junit.xml").read_text())
    checked = {case.get("file") for case in suite.iter("testcase")}
    assert checked >= {EXPERIMENT, "tenants/team-a/tenant.yaml", "overlays/dev/team-a/exp-001/run.yaml"}
    assert set(FILES) <= {path.name for path in tmp_path.iterdir()}


def test_text_of_a_hostile_file_name_does_no_harm(merge_request: Checkout, tmp_path: Path) -> None:
    """A file name with markup and control characters is refused by name, and the reports stay what they are."""
    hostile = 'experiments/team-a/<img src=x>\n"&.yaml'
    merge_request.commit({hostile: "a: 1\n"})
    assert main(["--reports", str(tmp_path)]) == 1
    assert ET.fromstring((tmp_path / "findings.junit.xml").read_text()).find(".//failure") is not None
    assert json.loads((tmp_path / "findings.codequality.json").read_text())
    shutil.rmtree(tmp_path / "platform")
