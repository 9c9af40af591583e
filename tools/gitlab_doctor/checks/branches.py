"""Who moves main, deployed/<env>, and what may be mistaken for them.

Sources: GitLab's documentation, user/project/repository/branches/protected.md and api/protected_branches.md: where several
rules match a branch, the most permissive one decides; per-user entries need Premium.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from tools.examining import Result, judged, paid, right, wrong
from tools.gitlab_doctor.project import Json, Project

_PLACE = "Settings > Repository > Protected branches"
_NO_ONE, _DEVELOPER = 0, 30
_FREE = (
    "without it only the bot's account may have the role Maintainer; whoever else pushes there achieves nothing: the bot does "
    "not move deployed/<env> over a commit that no approved merge request brought, and Argo CD applies only commits signed by the bot"
)


def protected_branches(project: Project) -> Iterator[Result]:
    """Protected branches: the bot alone pushes, members merge into main, nobody forces."""
    rules = project.all("protected_branches")
    for branch in project.branches:
        matching = [rule for rule in rules if fnmatchcase(branch, str(rule["name"]))]
        if not matching:
            wanted = "a protected branch"
            remedy = f"{_PLACE} > Add: {branch} (API: POST /projects/{project.id}/protected_branches name={branch})"
            yield wrong("branch-protected", f"branch {branch}", "no rule matches it", wanted, remedy)
            continue
        yield right("branch-protected", f"branch {branch}")
        yield _pushers(project, branch, matching)
        yield _mergers(project, branch, matching)
        yield _force(project, branch, matching)


def protected_tags(project: Project) -> Iterator[Result]:
    """Protected tags: nobody makes a tag with the name of a branch that Argo CD follows."""
    rules = project.all("protected_tags")
    closed = [rule for rule in rules if all(_is_nobody(level) for level in rule.get("create_access_levels") or [])]
    for branch in project.branches[1:]:
        held = any(fnmatchcase(branch, str(rule["name"])) for rule in closed)
        remedy = (
            "Settings > Repository > Protected tags > Add: deployed/*, Allowed to create: No one "
            f"(API: POST /projects/{project.id}/protected_tags name=deployed/* create_access_level=0): Argo CD could take a tag "
            "of that name on an older signed commit for the branch"
        )
        wanted = "No one"
        yield judged("tag-protected", f"tag {branch}", "others may create it", wanted, remedy, holds=held)


def _pushers(project: Project, branch: str, rules: list[Json]) -> Result:
    levels = [level for rule in rules for level in rule.get("push_access_levels") or []]
    strangers = [level for level in levels if level.get("user_id") != project.bot and not _is_nobody(level)]
    subject, wanted = f"pushing to {branch}", "the bot alone"
    remedy = (
        f"{_PLACE} > {branch} > Allowed to push and merge: No one, and the bot's account (API: PATCH /projects/{project.id}/"
        f"protected_branches/{branch.replace('/', '%2F')} allowed_to_push)"
    )
    roles = {level.get("access_level") for level in strangers if _is_role(level)}
    if project.free and roles == {40} and len(roles) == len(strangers):
        return paid("branch-push", subject, "Maintainers", f"{wanted} (Premium)", _FREE)
    if strangers:
        return wrong("branch-push", subject, ", ".join(map(_words, strangers)), wanted, remedy)
    if all(level.get("user_id") != project.bot for level in levels):
        return wrong("branch-push", subject, "not even the bot", wanted, remedy)
    return right("branch-push", subject)


def _mergers(project: Project, branch: str, rules: list[Json]) -> Result:
    levels = [level for rule in rules for level in rule.get("merge_access_levels") or []]
    subject = f"merging into {branch}"
    place = f"{_PLACE} > {branch} > Allowed to merge"
    api = f"(API: PATCH /projects/{project.id}/protected_branches/{branch.replace('/', '%2F')} allowed_to_merge)"
    found = ", ".join(map(_words, levels)) or "nobody"
    if branch == project.branches[0]:
        held = any(_is_role(level) and level.get("access_level") == _DEVELOPER for level in levels)
        wanted = "Developers + Maintainers: members merge what was approved, and their own cancellations"
        return judged("branch-merge", subject, found, wanted, f"{place}: Developers + Maintainers {api}", holds=held)
    held = all(_is_nobody(level) for level in levels)
    return judged("branch-merge", subject, found, "No one", f"{place}: No one {api}", holds=held)


def _force(project: Project, branch: str, rules: list[Json]) -> Result:
    held = not any(rule.get("allow_force_push") for rule in rules)
    remedy = (
        f"{_PLACE} > {branch} > Allowed to force push: off (API: PATCH /projects/{project.id}/protected_branches/"
        f"{branch.replace('/', '%2F')} allow_force_push=false)"
    )
    return judged("branch-force", f"force pushes to {branch}", "allowed", "refused", remedy, holds=held)


def _is_role(level: Json) -> bool:
    return not any(level.get(key) for key in ("user_id", "group_id", "deploy_key_id"))


def _is_nobody(level: Json) -> bool:
    return _is_role(level) and level.get("access_level") == _NO_ONE


def _words(level: Json) -> str:
    for key in ("user_id", "group_id", "deploy_key_id"):
        if level.get(key):
            return f"{key.removesuffix('_id').replace('_', ' ')} {level[key]}"
    return str(level.get("access_level_description") or level.get("access_level"))
