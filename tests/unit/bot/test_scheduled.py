"""The bot without a service: the pipeline of the admin-only project as docs/gitlab-setup.md has it, really run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import yaml

from tests.gitlab import bare
from tests.gitlab.site import ROOT, Site

PAGE = ROOT / "docs" / "gitlab-setup.md"
SCHEMA = ROOT / "tests/gitlab-ci/schema/gitlab-ci.json"
(BLOCK,) = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL) if "ft bot retire" in text]


def run(settings: Path) -> subprocess.CompletedProcess[str]:
    """The job's script, as GitLab's runner calls it: one shell that ends at the first command that fails."""
    script = "set -eo pipefail\n" + "\n".join(yaml.safe_load(BLOCK)["bot"]["script"])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "FT_BOT_CONFIG": str(settings), "PATH": path}
    return subprocess.run(["bash", "-c", script], check=False, capture_output=True, text=True, env=variables)


def test_the_documented_pipeline_is_valid_for_gitlab() -> None:
    """GitLab's schema finds nothing wrong with it."""
    validator = jsonschema_rs.Draft7Validator(json.loads(SCHEMA.read_bytes()))
    assert [error.message for error in validator.iter_errors(yaml.safe_load(BLOCK))] == []


def test_it_reports_and_authorizes_whatever_else_is_open(site: Site, settings_file: Path) -> None:
    """A merge request that nobody can read, the oldest of all, fails the job and holds up neither comment nor authorization."""
    unreadable = site.propose(site.mallory, site.experiment(name="exp-009"))
    unreadable.head = ""
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    first = run(settings_file)
    assert first.returncode == 3, first.stderr
    assert f"!{unreadable.iid}: " in first.stdout
    assert [note.author.id for note in merge.notes] == [site.bot.id]
    site.approve("maria.wisniewska", merge)
    site.merge("maria.wisniewska", merge)
    second = run(settings_file)
    assert second.returncode == 3, second.stderr
    written = bare.git(
        site.project.bare, "ls-tree", "-r", "--name-only", "deployed/dev", "overlays/dev/team-a/exp-002/"
    )
    assert "overlays/dev/team-a/exp-002/run.yaml" in written.split()
    assert site.bot.token not in first.stdout + first.stderr + second.stdout + second.stderr
