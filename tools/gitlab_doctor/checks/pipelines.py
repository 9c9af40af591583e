"""What pipelines can reach: whoever opens a merge request writes its pipeline.

Sources: GitLab's documentation, ci/pipelines/merge_request_pipelines.md, ci/variables/, ci/jobs/ci_job_token.md, api/projects.md,
api/project_level_variables.md, api/project_job_token_scopes.md, api/runners.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.examining import Result, judged, unseen
from tools.gitlab_doctor.project import Project

# What .gitlab-ci.yml reads and everybody may know.
_PLAIN = {"BOT_URL", "PYTHON_IMAGE", "BASE_IMAGE", "INDEX_URL", "CA_BUNDLE"}
_ROLES = {"maintainer", "owner", "no_one_allowed"}


def fork_pipelines(project: Project) -> Iterator[Result]:
    """Pipelines of forks: they run in the fork, with the fork's runners and variables."""
    yield judged(
        "fork-pipelines",
        "pipelines of forks in this project",
        "a maintainer can start them here",
        "never: a fork's pipeline is its author's code",
        "Settings > Merge requests (or CI/CD > General pipelines) > Run pipelines in the parent project: off "
        f"(API: PUT /projects/{project.id} ci_allow_fork_pipelines_to_run_in_parent_project=false)",
        holds=project.settings.get("ci_allow_fork_pipelines_to_run_in_parent_project") is False,
    )


def variables(project: Project) -> Iterator[Result]:
    """CI/CD variables of the project: none is a secret. Values are not looked at."""
    for variable in project.all("variables"):
        key = str(variable.get("key"))
        seen = (
            "of main only (protected)"
            if variable.get("protected")
            else "of every branch's and merge request's pipeline"
        )
        remedy = (
            f"Settings > CI/CD > Variables > delete {key} (API: DELETE /projects/{project.id}/variables/{key}); no job of this "
            "repository needs a secret, the bot has its own"
        )
        wanted = f"none but {', '.join(sorted(_PLAIN))}"
        yield judged("variables", f"variable {key}", seen, wanted, remedy, holds=key in _PLAIN)
    yield unseen(
        "variables",
        "variables of groups and of the instance",
        "a project does not show them",
        "look at Settings > CI/CD > Variables of each group above: what is there reaches these pipelines too",
    )


def variables_from_outside(project: Project) -> Iterator[Result]:
    """Variables given when a pipeline is started by hand."""
    settings = project.settings
    role = settings.get("ci_pipeline_variables_minimum_override_role")
    held = role in _ROLES if role is not None else settings.get("restrict_user_defined_variables") is True
    yield judged(
        "pipeline-variables",
        "who gives a pipeline variables (BOT_URL, BASE_IMAGE) by hand",
        str(role or "developers"),
        "maintainers at least, better no one",
        f"Settings > CI/CD > Variables > Minimum role to use pipeline variables: No one (API: PUT /projects/{project.id} "
        "ci_pipeline_variables_minimum_override_role=no_one_allowed)",
        holds=held,
    )


def pipeline_settings(project: Project) -> Iterator[Result]:
    """The pipeline's file and caches."""
    path = project.settings.get("ci_config_path") or ".gitlab-ci.yml"
    remedy = f"Settings > CI/CD > General pipelines > CI/CD configuration file: empty (API: PUT /projects/{project.id} ci_config_path=)"
    yield judged(
        "pipeline-file", "the pipeline's file", str(path), ".gitlab-ci.yml", remedy, holds=path == ".gitlab-ci.yml"
    )
    yield judged(
        "separate-caches",
        "caches of protected branches",
        "shared with merge requests, which can poison them",
        "apart",
        f"Settings > CI/CD > General pipelines > Use separate caches for protected branches (API: PUT /projects/{project.id} ci_separated_caches=true)",
        holds=project.settings.get("ci_separated_caches") is True,
    )


def job_token(project: Project) -> Iterator[Result]:
    """Job tokens: other projects' jobs do not get in, this project's push nothing."""
    scope = project.one("job_token_scope")
    yield judged(
        "job-token",
        "job tokens of other projects",
        "any project's jobs may ask this project",
        "only projects on the list",
        "Settings > CI/CD > Job token permissions > Only this project and any groups and projects in the allowlist "
        f"(API: PATCH /projects/{project.id}/job_token_scope enabled=true)",
        holds=scope.get("inbound_enabled") is True,
    )
    yield judged(
        "job-token-push",
        "pushing with a job token",
        "allowed",
        "refused",
        "Settings > CI/CD > Job token permissions > Allow Git push requests: off "
        f"(API: PUT /projects/{project.id} ci_push_repository_for_job_token_allowed=false)",
        holds=not project.settings.get("ci_push_repository_for_job_token_allowed"),
    )


def runners(project: Project) -> Iterator[Result]:
    """Runners: one takes these jobs; whether it isolates them is its own configuration."""
    found = [runner for runner in project.all("runners") if runner.get("active", True) and not runner.get("paused")]
    yield judged(
        "runners",
        "runners",
        "none is there for this project",
        "one that takes untagged jobs",
        "Settings > CI/CD > Runners > New project runner, or the instance's",
        holds=bool(found),
    )
    yield unseen(
        "runners",
        "isolation of the runners",
        "GitLab does not show a runner's configuration",
        "config.toml: privileged = false, no volumes of the host, no docker socket; merge requests run their authors' code there",
    )
