"""All checks of one project, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tools.bot.errors import ForgeRefused
from tools.examining import Result, unseen
from tools.gitlab_doctor.checks import CHECKS
from tools.gitlab_doctor.project import Project


def examine(project: Project) -> list[Result]:
    """What every check found.

    Raises:
        ForgeAway: GitLab does not answer.
        ForgeRefused: the token may not even see the project.
    """
    project.settings  # noqa: B018 - first and alone: whether there is a project at all
    return [result for check in CHECKS for result in _run(check, project)]


def _run(check: Callable[[Project], Iterator[Result]], project: Project) -> list[Result]:
    results: list[Result] = []
    try:
        results += check(project)
    except ForgeRefused as error:
        name = check.__name__.replace("_", "-")
        what = (check.__doc__ or name).partition("\n")[0].rstrip(".")
        results.append(unseen(name, what, str(error), "ask with a token of scope read_api and the role Maintainer"))
    return results
