"""Which jobs of .gitlab-ci.yml run when, and the job `validate` for real, with gitlab-ci-local."""

from __future__ import annotations

import json
import shutil
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.pipeline_clone import ROOT, TOOL, Clone, make

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on PATH: gitlab-ci-local needs Node 18")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone of the working tree, beside the repository that it was cloned from."""
    return make(tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("clone") / "platform")


@pytest.fixture(scope="module")
def declared() -> list[str]:
    """The reports that the job promises to GitLab."""
    job = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))["validate"]
    return list(job["artifacts"]["reports"].values())


def test_merge_request_gets_no_job_but_validate(clone: Clone) -> None:
    """A merge request that changes the image and an overlay gets neither built, trained nor registered."""
    changes = {"Dockerfile": TOOL / "broken.yaml", "overlays/dev/team-a/exp-009/run.yaml": TOOL / "broken.yaml"}
    clone.merge_request("image", changes)
    assert clone.jobs(CI_PIPELINE_SOURCE="merge_request_event") == ["validate"]


@pytest.mark.parametrize(
    ("changed", "jobs"),
    [
        ("README.md", ["validate"]),
        ("runner/__main__.py", ["validate", "build"]),
        ("requirements/dev.txt", ["validate"]),
        ("overlays/dev/team-a/exp-009/run.yaml", ["validate"]),
        ("experiments/team-a/exp-009.yaml", ["validate", "train", "register"]),
    ],
)
def test_main_builds_and_follows_only_what_changed(clone: Clone, changed: str, jobs: list[str]) -> None:
    """On protected main a job runs when, and only when, the push changes what it works on."""
    clone.merge_request("push", {changed: TOOL / "broken.yaml"})
    main = {"CI_COMMIT_BRANCH": "main", "CI_COMMIT_REF_PROTECTED": "true"}
    assert clone.jobs(**main, BOT_URL="https://ft-bot.example") == jobs
    assert set(clone.jobs(**main)) == set(jobs) - {"train", "register"}


def test_unprotected_main_builds_nothing(clone: Clone) -> None:
    """Where main is not protected the job with the registry's password stays away."""
    clone.merge_request("push", {"Dockerfile": TOOL / "broken.yaml"})
    assert clone.jobs(CI_COMMIT_BRANCH="main", CI_COMMIT_REF_PROTECTED="false") == ["validate"]


def test_good_tree_passes_and_leaves_its_reports(clone: Clone, declared: list[str]) -> None:
    """The working tree as it is passes, with empty findings in each report and the plan of the new experiment."""
    clone.merge_request("good", {"experiments/team-a/exp-002.yaml": ROOT / "experiments/team-a/exp-001.yaml"})
    done = clone.run_validate()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path for path in declared if not (clone.artifacts() / path).is_file()] == [], done.stdout + done.stderr
    assert json.loads(clone.report("findings.json")) == []
    assert json.loads(clone.report("findings.codequality.json")) == []
    assert ET.fromstring(clone.report("findings.junit.xml")).findall(".//failure") == []
    assert "exp-002" in clone.report("plan.md")


def test_bad_experiment_fails_with_its_findings_in_every_report(clone: Clone, declared: list[str]) -> None:
    """An experiment with three faults fails the job, and each report for GitLab names its file."""
    bad = "experiments/team-a/exp-003.yaml"
    clone.merge_request("bad", {bad: TOOL / "broken.yaml"})
    done = clone.run_validate()
    assert done.returncode == 1, done.stdout + done.stderr
    assert [path for path in declared if not (clone.artifacts() / path).is_file()] == [], done.stdout + done.stderr
    findings = json.loads(clone.report("findings.json"))
    assert {finding["file"] for finding in findings} == {bad}
    assert [finding["line"] for finding in findings] == [7, 11, 12]
    assert {issue["location"]["path"] for issue in json.loads(clone.report("findings.codequality.json"))} == {bad}
    assert bad in clone.report("findings.junit.xml")
    assert ET.fromstring(clone.report("findings.junit.xml")).findall(".//failure") != []
    assert "ft plan: 0 of 1 changed experiment(s)" in done.stdout, "the checks after the first failure did not run"
