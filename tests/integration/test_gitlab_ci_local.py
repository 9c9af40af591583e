"""Runs the `validate` job of .gitlab-ci.yml for real, with gitlab-ci-local, in a clone of the working tree.

The job gets the shell executor instead of its container and does everything else as GitLab's runner would: it makes
the environment from the pinned packages, runs each script line and leaves the reports.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tests/gitlab-ci"
RUNNER = TOOL / "node_modules/.bin/gitlab-ci-local"
GIT = ["git", "-c", "user.name=Anna Nowak", "-c", "user.email=anna.nowak@bank.example", "-c", "commit.gpgsign=false"]

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on PATH: gitlab-ci-local needs Node 18")


@dataclass(frozen=True)
class Clone:
    """A clone whose `main` is the working tree as it is, uncommitted files included."""

    folder: Path

    def git(self, *arguments: str) -> str:
        """Run git in the clone and return its output without the last newline."""
        done = subprocess.run([*GIT, *arguments], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def merge_request(self, branch: str, files: dict[str, Path]) -> None:
        """Commit `files` (path in the repository -> file to copy) on a new branch from main, and check it out."""
        self.git("checkout", "--quiet", "-B", branch, "origin/main")
        for uploaded in (self.folder / "reports", self.artifacts):
            shutil.rmtree(uploaded, ignore_errors=True)
        for path, source in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, self.folder / path)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", f"experiments: {branch}")

    def jobs(self, **variables: str) -> list[str]:
        """The jobs that gitlab-ci-local's evaluation of the rules puts into a pipeline with these variables."""
        options = [word for name, value in variables.items() for word in ("--variable", f"{name}={value}")]
        command = [str(RUNNER), "--list-json", "--force-shell-executor", *options]
        done = subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.PIPE, text=True)
        listed = json.loads(done.stdout[done.stdout.index("[\n") :])
        return [job["name"] for job in listed if job["when"] != "never"]

    @property
    def artifacts(self) -> Path:
        """What the job `validate` uploaded."""
        return self.folder / ".gitlab-ci-local/artifacts/validate"

    def run_validate(self) -> subprocess.CompletedProcess[str]:
        """Run the job `validate` as a merge request's pipeline does."""
        variables = {
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": self.git("rev-parse", "origin/main"),
            # This machine's caches instead of the job's own empty ones: packages are checked by hash either way.
            "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache/pip")),
            "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache/uv")),
        }
        options = [word for name, value in variables.items() for word in ("--variable", f"{name}={value}")]
        command = [str(RUNNER), "validate", "--force-shell-executor", *options]
        # gitlab-ci-local copies artifacts with rsync; the stand-in comes last, so a real one is preferred.
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}{os.pathsep}{TOOL / 'bin'}"}
        return subprocess.run(command, cwd=self.folder, env=environment, check=False, capture_output=True, text=True)

    def report(self, name: str) -> str:
        """The text of one uploaded report."""
        return (self.artifacts / "reports" / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone of the working tree, beside the repository that it was cloned from."""
    if not RUNNER.exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=TOOL, check=True)
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("clone") / "platform"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for path in filter(None, listed.stdout.split("\0")):
        if (ROOT / path).is_file():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, source / path)
    origin = Clone(source)
    origin.git("init", "--quiet", "--initial-branch=main")
    origin.git("add", "--all")
    origin.git("commit", "--quiet", "--message", "the working tree")
    origin.git("clone", "--quiet", str(source), str(target))
    return Clone(target)


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
        ("overlays/dev/team-a/exp-009/run.yaml", ["validate", "train", "register"]),
    ],
)
def test_main_builds_and_trains_only_what_changed(clone: Clone, changed: str, jobs: list[str]) -> None:
    """On protected main a job runs when, and only when, the push changes what it works on."""
    clone.merge_request("push", {changed: TOOL / "broken.yaml"})
    assert clone.jobs(CI_COMMIT_BRANCH="main", CI_COMMIT_REF_PROTECTED="true") == jobs


def test_unprotected_main_builds_nothing(clone: Clone) -> None:
    """Where main is not protected the job with the registry's password stays away."""
    clone.merge_request("push", {"Dockerfile": TOOL / "broken.yaml"})
    assert clone.jobs(CI_COMMIT_BRANCH="main", CI_COMMIT_REF_PROTECTED="false") == ["validate"]


def test_good_tree_passes_and_leaves_its_reports(clone: Clone, declared: list[str]) -> None:
    """The working tree as it is passes, with empty findings in each report and the plan of the new experiment."""
    good = ROOT / "experiments/team-a/exp-001.yaml"
    clone.merge_request("good", {"experiments/team-a/exp-002.yaml": good})
    done = clone.run_validate()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path for path in declared if not (clone.artifacts / path).is_file()] == [], done.stdout + done.stderr
    assert json.loads(clone.report("validate.json")) == []
    assert json.loads(clone.report("validate.codequality.json")) == []
    assert ET.fromstring(clone.report("validate.junit.xml")).findall(".//failure") == []
    assert "exp-002" in clone.report("plan.md")


def test_bad_experiment_fails_with_its_findings_in_every_report(clone: Clone, declared: list[str]) -> None:
    """An experiment with three faults fails the job, and each report for GitLab names its file."""
    bad = "experiments/team-a/exp-003.yaml"
    clone.merge_request("bad", {bad: TOOL / "broken.yaml"})
    done = clone.run_validate()
    assert done.returncode == 1, done.stdout + done.stderr
    assert [path for path in declared if not (clone.artifacts / path).is_file()] == [], done.stdout + done.stderr
    findings = json.loads(clone.report("validate.json"))
    assert {finding["file"] for finding in findings} == {bad}
    assert [finding["line"] for finding in findings] == [7, 11, 12]
    assert {issue["location"]["path"] for issue in json.loads(clone.report("validate.codequality.json"))} == {bad}
    assert bad in clone.report("validate.junit.xml")
    assert ET.fromstring(clone.report("validate.junit.xml")).findall(".//failure") != []
    assert (clone.artifacts / "reports/render.txt").is_file(), "the checks after the first failure did not run"
