"""A clone of the working tree in which gitlab-ci-local runs jobs of .gitlab-ci.yml.

A job gets the shell executor instead of its container and does everything else as GitLab's runner would: it makes
the environment from the pinned packages, runs each script line and leaves the reports.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tests/gitlab-ci"
RUNNER = TOOL / "node_modules/.bin/gitlab-ci-local"
GIT = ["git", "-c", "user.name=Anna Nowak", "-c", "user.email=anna.nowak@bank.example", "-c", "commit.gpgsign=false"]


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
        for uploaded in (self.folder / "reports", self.artifacts()):
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

    def artifacts(self, job: str = "validate") -> Path:
        """What a job uploaded."""
        return self.folder / ".gitlab-ci-local/artifacts" / job

    def run_validate(self) -> subprocess.CompletedProcess[str]:
        """Run the job `validate` as the pipeline of a merge request of anna.nowak does."""
        return self.run(
            "validate",
            CI_PIPELINE_SOURCE="merge_request_event",
            CI_MERGE_REQUEST_IID="7",
            CI_MERGE_REQUEST_DIFF_BASE_SHA=self.git("rev-parse", "origin/main"),
            GITLAB_USER_ID="101",
            GITLAB_USER_LOGIN="anna.nowak",
        )

    def run(self, *jobs: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run jobs with these variables."""
        variables |= {
            # This machine's caches instead of the job's own empty ones: packages are checked by hash either way.
            "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache/pip")),
            "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache/uv")),
        }
        options = [word for name, value in variables.items() for word in ("--variable", f"{name}={value}")]
        command = [str(RUNNER), *jobs, "--force-shell-executor", *options]
        # gitlab-ci-local copies artifacts with rsync; the stand-in comes last, so a real one is preferred.
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}{os.pathsep}{TOOL / 'bin'}"}
        return subprocess.run(command, cwd=self.folder, env=environment, check=False, capture_output=True, text=True)

    def report(self, name: str) -> str:
        """The text of one uploaded report."""
        return (self.artifacts() / "reports" / name).read_text(encoding="utf-8")


def make(source: Path, target: Path) -> Clone:
    """A clone in `target` of a repository in `source`, which gets the working tree as it is; both do not exist yet."""
    if not RUNNER.exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=TOOL, check=True)
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
