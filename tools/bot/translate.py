"""GitLab's JSON turned into the bot's records; a missing or strange field raises KeyError, TypeError or ValueError."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tools.bot.records import Approval, DiffVersion, MergeRequest, Note, Project, Push, User


def user(data: Mapping[str, Any]) -> User:
    """docs: api/users.md."""
    return User(_integer(data["id"]), str(data["username"]))


def project(data: Mapping[str, Any]) -> Project:
    """docs: api/projects.md, get a single project."""
    return Project(
        id=_integer(data["id"]),
        path=str(data["path_with_namespace"]),
        web_url=str(data["web_url"]),
        clone_url=str(data["http_url_to_repo"]),
        default_branch=str(data["default_branch"]),
        merge_method=str(data.get("merge_method") or "merge"),
    )


def merge_request(data: Mapping[str, Any]) -> MergeRequest:
    """docs: api/merge_requests.md; `merge_user` replaces `merged_by` since 14.7."""
    merger = data.get("merge_user") or data.get("merged_by")
    return MergeRequest(
        iid=_integer(data["iid"]),
        state=str(data["state"]),
        title=str(data["title"]),
        web_url=str(data["web_url"]),
        author=user(data["author"]),
        source_branch=str(data["source_branch"]),
        target_branch=str(data["target_branch"]),
        source_project_id=None if data["source_project_id"] is None else _integer(data["source_project_id"]),
        head_sha=str(data["sha"] or ""),
        merge_commit_sha=data.get("merge_commit_sha") or None,
        squash_commit_sha=data.get("squash_commit_sha") or None,
        merged_at=_maybe_time(data.get("merged_at")),
        merged_by=user(merger) if merger else None,
        base_sha=(data.get("diff_refs") or {}).get("base_sha"),
        description=str(data.get("description") or ""),
        draft=bool(data.get("draft", False)),
    )


def version(data: Mapping[str, Any]) -> DiffVersion:
    """docs: api/merge_requests.md, merge request diff versions."""
    return DiffVersion(
        id=_integer(data["id"]),
        head_sha=str(data["head_commit_sha"] or ""),
        base_sha=str(data["base_commit_sha"] or ""),
        start_sha=str(data["start_commit_sha"] or ""),
        created_at=_time(data["created_at"]),
    )


def approval(data: Mapping[str, Any]) -> Approval:
    """docs: api/merge_request_approvals.md, approval state of one merge request."""
    return Approval(user(data["user"]), _maybe_time(data.get("approved_at")))


def note(data: Mapping[str, Any]) -> Note:
    """docs: api/notes.md, merge requests."""
    return Note(
        id=_integer(data["id"]),
        author=user(data["author"]),
        body=str(data["body"] or ""),
        system=bool(data["system"]),
        created_at=_time(data["created_at"]),
        updated_at=_time(data["updated_at"]),
    )


def push(data: Mapping[str, Any]) -> Push | None:
    """docs: api/events.md; None for a tag. Pushes of several refs have `ref_count` and no `ref`."""
    what = data["push_data"]
    if what.get("ref") is not None and what.get("ref_type") == "tag":
        return None
    return Push(
        author=user(data["author"]),
        ref=str(what.get("ref") or ""),
        created_at=_time(data["created_at"]),
        commit_from=what.get("commit_from") or None,
        commit_to=what.get("commit_to") or None,
    )


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not an integer")
    return value


def _time(value: Any) -> datetime:
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment


def _maybe_time(value: Any) -> datetime | None:
    return _time(value) if value else None
