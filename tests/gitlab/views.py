"""The JSON that GitLab shows; each function names the documentation page whose fields it follows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.gitlab.model import Account, Hook, Merge, Note, Project, Protection, Push, Version

if TYPE_CHECKING:
    from tests.gitlab.standin import GitLab

LEVELS = {0: "No one", 30: "Developers + Maintainers", 40: "Maintainers", 50: "Owners"}


def time(moment: datetime | None) -> str | None:
    """ISO 8601 with milliseconds."""
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def user(gitlab: GitLab, account: Account) -> dict[str, Any]:
    """api/users.md."""
    return {
        "id": account.id,
        "username": account.username,
        "name": account.username,
        "state": "active",
        "locked": False,
        "avatar_url": None,
        "web_url": f"{gitlab.url}/{account.username}",
    }


def project(gitlab: GitLab, each: Project) -> dict[str, Any]:
    """api/projects.md."""
    return {
        "id": each.id,
        "name": each.path.rpartition("/")[2],
        "path_with_namespace": each.path,
        "web_url": f"{gitlab.url}/{each.path}",
        "http_url_to_repo": gitlab.clone_url(each),
        "default_branch": "main",
        "visibility": each.visibility,
        "merge_method": each.merge_method,
        "squash_option": "default_off",
        "only_allow_merge_if_pipeline_succeeds": False,
        "only_allow_merge_if_all_discussions_are_resolved": False,
        "remove_source_branch_after_merge": True,
        "ci_config_path": "",
        "shared_runners_enabled": True,
        "forked_from_project": {"id": each.forked_from.id} if each.forked_from else None,
        **each.settings,
    }


def merge(gitlab: GitLab, home: Project, each: Merge) -> dict[str, Any]:
    """api/merge_requests.md, in lists."""
    return {
        "id": each.id,
        "iid": each.iid,
        "project_id": home.id,
        "title": each.title,
        "description": each.description,
        "state": each.state,
        "created_at": time(each.created_at),
        "updated_at": time(each.updated_at),
        "merged_at": time(each.merged_at),
        "merged_by": user(gitlab, each.merged_by) if each.merged_by else None,
        "merge_user": user(gitlab, each.merged_by) if each.merged_by else None,
        "target_branch": each.target_branch,
        "source_branch": each.source_branch,
        "author": user(gitlab, each.author),
        "source_project_id": each.source.id,
        "target_project_id": home.id,
        "labels": [],
        "draft": each.title.startswith("Draft:"),
        "sha": each.head,
        "merge_commit_sha": each.merge_commit,
        "squash_commit_sha": each.squash_commit,
        "web_url": f"{gitlab.url}/{home.path}/-/merge_requests/{each.iid}",
        "squash": each.squash_commit is not None,
    }


def one_merge(gitlab: GitLab, home: Project, each: Merge) -> dict[str, Any]:
    """api/merge_requests.md, get single MR."""
    last = each.versions[-1]
    refs = {"base_sha": last.base, "head_sha": last.head, "start_sha": last.start}
    return {**merge(gitlab, home, each), "diff_refs": refs, "changes_count": "1", "has_conflicts": False}


def version(each: Version, iid: Merge) -> dict[str, Any]:
    """api/merge_requests.md, get merge request diff versions."""
    return {
        "id": each.id,
        "head_commit_sha": each.head,
        "base_commit_sha": each.base,
        "start_commit_sha": each.start,
        "created_at": time(each.created_at),
        "merge_request_id": iid.id,
        "state": "collected",
        "real_size": "1",
    }


def approvals(gitlab: GitLab, home: Project, each: Merge) -> dict[str, Any]:
    """api/merge_request_approvals.md, single merge request approval."""
    shown = [
        {"user": user(gitlab, account), **({"approved_at": time(when)} if gitlab.shows_approved_at else {})}
        for account, when in each.approvals.values()
    ]
    return {
        "id": each.id,
        "iid": each.iid,
        "project_id": home.id,
        "state": each.state,
        "approved": bool(shown),
        "approvals_required": 0,
        "approvals_left": 0,
        "approved_by": shown,
    }


def note(gitlab: GitLab, home: Project, parent: Merge, each: Note) -> dict[str, Any]:
    """api/notes.md."""
    return {
        "id": each.id,
        "body": each.body,
        "author": user(gitlab, each.author),
        "created_at": time(each.created_at),
        "updated_at": time(each.updated_at),
        "system": each.system,
        "noteable_id": parent.id,
        "noteable_type": "MergeRequest",
        "noteable_iid": parent.iid,
        "project_id": home.id,
        "resolvable": False,
        "confidential": False,
        "internal": False,
    }


def event(gitlab: GitLab, home: Project, each: Push) -> dict[str, Any]:
    """api/events.md, push events; a bulk push has `ref_count` and no `ref`."""
    action = "created" if each.before is None else "removed" if each.after is None else "pushed"
    data = {
        "commit_count": 1,
        "action": action,
        "ref_type": each.ref_type,
        "commit_from": each.before,
        "commit_to": each.after,
        "ref": each.ref,
        "commit_title": "a change",
        "ref_count": 4 if each.ref is None else None,
    }
    return {
        "id": each.id,
        "project_id": home.id,
        "action_name": "pushed to" if action == "pushed" else "pushed new" if action == "created" else "deleted",
        "target_id": None,
        "target_type": None,
        "author_id": each.author.id,
        "created_at": time(each.created_at),
        "author": user(gitlab, each.author),
        "push_data": data,
        "author_username": each.author.username,
    }


def protected(name: str, rule: Protection) -> dict[str, Any]:
    """api/protected_branches.md."""
    pushers = [
        {"access_level": 40, "access_level_description": "an account", "user_id": each, "group_id": None}
        for each in sorted(rule.pushers)
    ]
    return {
        "id": 1,
        "name": name,
        "push_access_levels": [_level(rule.push), *pushers],
        "merge_access_levels": [_level(rule.merge)],
        "unprotect_access_levels": [],
        "allow_force_push": rule.allow_force_push,
        "code_owner_approval_required": rule.code_owner_approval_required,
    }


def _level(role: int) -> dict[str, Any]:
    return {
        "access_level": int(role),
        "access_level_description": LEVELS.get(int(role), "?"),
        "user_id": None,
        "group_id": None,
    }


def hook(each: Hook) -> dict[str, Any]:
    """api/project_webhooks.md; the token is never shown."""
    return {
        "id": each.id,
        "url": each.url,
        "push_events": "push" in each.events,
        "merge_requests_events": "merge_request" in each.events,
        "note_events": "note" in each.events,
        "enable_ssl_verification": True,
    }
