"""Every check, in the order in which results are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tools.examining import Result
from tools.gitlab_doctor.checks import approvals, bot, branches, merging, people, pipelines
from tools.gitlab_doctor.project import Project

CHECKS: tuple[Callable[[Project], Iterator[Result]], ...] = (
    branches.protected_branches,
    branches.protected_tags,
    approvals.approval_settings,
    approvals.approval_rules,
    merging.merge_settings,
    pipelines.fork_pipelines,
    pipelines.variables,
    pipelines.variables_from_outside,
    pipelines.pipeline_settings,
    pipelines.job_token,
    pipelines.runners,
    people.accounts,
    people.access,
    bot.token,
    bot.webhook,
)
