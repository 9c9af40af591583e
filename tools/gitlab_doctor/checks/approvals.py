"""What GitLab itself does about approvals. The bot counts by its own rules, whatever stands here.

Sources: GitLab's documentation, user/project/merge_requests/approvals/settings.md and api/merge_request_approvals.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.examining import Result, judged, paid
from tools.gitlab_doctor.project import Project

_PLACE = "Settings > Merge requests > Merge request approvals"
# Setting -> wanted value, what it prevents, its name on the page.
_WANTED = {
    "reset_approvals_on_push": (True, "approval before a later push", "Remove all approvals when a commit is added"),
    "merge_requests_author_approval": (False, "approval by the author", "Prevent approval by merge request creator"),
    "merge_requests_disable_committers_approval": (
        True,
        "approval by who pushed",
        "Prevent approvals by users who add commits",
    ),
    "disable_overriding_approvers_per_merge_request": (
        True,
        "approval rules changed in a merge request",
        "Prevent editing approval rules in merge requests",
    ),
}
_FREE = "without it GitLab merges what nobody approved, and the bot refuses to start it: it demands the tenant's approvals itself"


def approval_settings(project: Project) -> Iterator[Result]:
    """Approval settings."""
    found = project.approvals
    for name, (wanted, prevents, title) in _WANTED.items():
        subject = f"no {prevents}"
        if found is None:
            yield paid("approval-settings", subject, "the free tier", f"{title} (Premium)", _FREE)
            continue
        remedy = f"{_PLACE} > {title} (API: POST /projects/{project.id}/approvals {name}={str(wanted).lower()})"
        said = f"{name}={str(found.get(name)).lower()}"
        yield judged("approval-settings", subject, said, str(wanted).lower(), remedy, holds=found.get(name) is wanted)


def approval_rules(project: Project) -> Iterator[Result]:
    """Approval rules: GitLab takes a rule that nobody can satisfy for satisfied."""
    if project.free:
        yield paid("approval-rules", "approvals before merging", "the free tier", "approval rules (Premium)", _FREE)
        return
    for rule in project.all("approval_rules"):
        required = int(rule.get("approvals_required") or 0)
        able = len(rule.get("eligible_approvers") or [])
        held = required <= able or rule.get("rule_type") == "any_approver"
        remedy = (
            f"{_PLACE} > {rule.get('name')} > add approvers "
            f"(API: PUT /projects/{project.id}/approval_rules/{rule.get('id')} user_ids)"
        )
        found = f"{required} required of {able} who may: GitLab counts it as approved"
        yield judged("approval-rules", f"rule {rule.get('name')}", found, f"{required} or more", remedy, holds=held)
