"""The GitLab stand-in with a project whose settings are as docs/gitlab-setup.md wants them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gitlab.fixtures import gitlab, site
from tests.gitlab.model import Role
from tests.gitlab.site import Site

__all__ = ["gitlab", "site"]

ROOT = Path(__file__).resolve().parents[3]
BOT_URL = "https://ft-bot.example"


@pytest.fixture
def secured(site: Site) -> Site:
    """Premium, with every protection on."""
    project = site.project
    project.tier = "premium"
    for branch in ("deployed/dev", "deployed/prod"):
        project.protect(branch, push=Role.NONE, merge=Role.NONE, pushers={site.bot.id})
    project.protected_tags = [{"name": "deployed/*", "create_access_levels": [{"access_level": 0}]}]
    project.reset_approvals_on_push = True
    project.approval_settings = {
        "merge_requests_author_approval": False,
        "merge_requests_disable_committers_approval": True,
        "disable_overriding_approvers_per_merge_request": True,
    }
    project.settings = {
        "only_allow_merge_if_pipeline_succeeds": True,
        "allow_merge_on_skipped_pipeline": False,
        "ci_allow_fork_pipelines_to_run_in_parent_project": False,
        "ci_pipeline_variables_minimum_override_role": "no_one_allowed",
        "ci_separated_caches": True,
        "ci_push_repository_for_job_token_allowed": False,
    }
    project.variables = [{"key": "BOT_URL", "value": BOT_URL, "protected": False}]
    project.runners = [{"id": 1, "active": True, "paused": False, "runner_type": "project_type"}]
    project.grant(site.root, Role.DEVELOPER)
    project.owner = site.user("piotr.admin")
    site.bot.scopes = ("api", "write_repository")
    site.gitlab.add_hook(project, f"{BOT_URL}/webhook", "the-hooks-secret")
    return site


@pytest.fixture
def token_file(secured: Site, tmp_path: Path) -> Path:
    """The bot's token in a file."""
    path = tmp_path / "token"
    path.write_text(f"{secured.bot.token}\n")
    return path
