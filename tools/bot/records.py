"""What GitLab says, as values: only the fields that the bot decides or reports by.

People are compared by `User.id` alone: user names can be changed and taken over. Times are GitLab's own clock, never a
commit's dates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class User:
    """An account; equal when the numeric id is."""

    id: int
    username: str = field(compare=False)


@dataclass(frozen=True)
class DiffVersion:
    """What a merge request held after one push."""

    id: int
    head_sha: str
    base_sha: str
    start_sha: str
    created_at: datetime


@dataclass(frozen=True)
class Approval:
    """Who approves now; servers before 17.8 or so leave the time to the system notes."""

    user: User
    approved_at: datetime | None


@dataclass(frozen=True)
class Note:
    """A comment, or with `system` GitLab's own line in the history."""

    id: int
    author: User
    body: str
    system: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Push:
    """A push event, which unlike a commit cannot be forged.

    `ref` is empty for a push of more branches at once than GitLab lists one by one: it may have been any of them.
    `commit_from` is None for a new branch, `commit_to` for a removed one.
    """

    author: User
    ref: str
    created_at: datetime
    commit_from: str | None
    commit_to: str | None


@dataclass(frozen=True)
class MergeRequest:
    """A merge request; `state` is opened, closed, locked or merged.

    `merge_commit_sha` is None for fast-forward merges, `squash_commit_sha` where nothing was squashed. `base_sha` is
    None in lists. `source_project_id` is None when the fork is gone.
    """

    iid: int
    state: str
    title: str
    web_url: str
    author: User
    source_branch: str
    target_branch: str
    source_project_id: int | None
    head_sha: str
    merge_commit_sha: str | None
    squash_commit_sha: str | None
    merged_at: datetime | None
    merged_by: User | None
    base_sha: str | None = None
    description: str = ""
    draft: bool = False


@dataclass(frozen=True)
class Project:
    """Our project on the forge."""

    id: int
    path: str
    web_url: str
    clone_url: str
    default_branch: str
    merge_method: str
