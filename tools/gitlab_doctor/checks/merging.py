"""How merge requests are merged. Sources: GitLab's documentation, api/projects.md and user/project/merge_requests/."""

from __future__ import annotations

from collections.abc import Iterator

from tools.examining import Result, judged
from tools.gitlab_doctor.project import Project

_METHODS = ("merge", "rebase_merge", "ff")  # the bot finds the merge request of each


def merge_settings(project: Project) -> Iterator[Result]:
    """Merging: only after validation, by a method that the bot knows."""
    settings, number = project.settings, project.id
    yield judged(
        "pipeline-must-succeed",
        "merging before validation has passed",
        "allowed",
        "refused",
        f"Settings > Merge requests > Pipelines must succeed (API: PUT /projects/{number} only_allow_merge_if_pipeline_succeeds=true)",
        holds=settings.get("only_allow_merge_if_pipeline_succeeds") is True,
    )
    yield judged(
        "skipped-pipeline",
        "merging with a skipped pipeline",
        "allowed",
        "refused",
        f"Settings > Merge requests > Skipped pipelines are considered successful: off (API: PUT /projects/{number} allow_merge_on_skipped_pipeline=false)",
        holds=not settings.get("allow_merge_on_skipped_pipeline"),
    )
    method = str(settings.get("merge_method"))
    yield judged(
        "merge-method",
        "merge method",
        method,
        " or ".join(_METHODS),
        f"Settings > Merge requests > Merge method (API: PUT /projects/{number} merge_method=merge)",
        holds=method in _METHODS,
    )
    yield judged(
        "visibility",
        "the project's visibility",
        "public",
        "private or internal",
        f"Settings > General > Visibility (API: PUT /projects/{number} visibility=private): names of people, data and models are in it",
        holds=settings.get("visibility") != "public",
    )
