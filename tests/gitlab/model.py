"""What the stand-in for GitLab knows: accounts, projects, merge requests. No HTTP and no git here."""

from __future__ import annotations

import itertools
import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Any


class Role(IntEnum):
    """Access levels (docs: api/members.md, roles)."""

    NONE = 0
    GUEST = 10
    REPORTER = 20
    DEVELOPER = 30
    MAINTAINER = 40
    OWNER = 50


class Clock:
    """GitLab's own time: real time plus what a test adds, later at each look."""

    def __init__(self) -> None:
        self._offset = timedelta(0)
        self._last = datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The time, at least a millisecond after the last one given out."""
        with self._lock:
            moment = datetime.now(UTC) + self._offset
            moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
            self._last = max(moment, self._last + timedelta(milliseconds=1))
            return self._last

    def forward(self, **amount: float) -> None:
        """Let time pass: `forward(hours=3)`."""
        self._offset += timedelta(**amount)


@dataclass
class Account:
    """A user with one token."""

    id: int
    username: str
    token: str = field(default_factory=lambda: f"glpat-{secrets.token_hex(10)}", repr=False)
    scopes: tuple[str, ...] = ("api", "read_repository", "write_repository")
    revoked: bool = False

    @property
    def email(self) -> str:
        """What its commits carry."""
        return f"{self.username}@bank.example"

    def __hash__(self) -> int:
        return self.id


@dataclass
class Note:
    """A comment or, with `system`, a line of the history."""

    id: int
    author: Account
    body: str
    system: bool
    created_at: datetime
    updated_at: datetime


@dataclass
class Version:
    """A diff version."""

    id: int
    head: str
    base: str
    start: str
    created_at: datetime


@dataclass
class Push:
    """A push event; `ref` is None for a bulk push."""

    id: int
    author: Account
    ref: str | None
    ref_type: str
    before: str | None
    after: str | None
    created_at: datetime


@dataclass
class Merge:
    """A merge request."""

    id: int
    iid: int
    title: str
    description: str
    author: Account
    source: Project
    source_branch: str
    target_branch: str
    created_at: datetime
    updated_at: datetime
    head: str
    state: str = "opened"
    remove_source_branch: bool = False
    merged_at: datetime | None = None
    merged_by: Account | None = None
    merge_commit: str | None = None
    squash_commit: str | None = None
    approvals: dict[int, tuple[Account, datetime]] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)


@dataclass
class Protection:
    """A protected branch: the least role that may push or merge, and accounts that may push besides (Premium)."""

    push: Role = Role.NONE
    merge: Role = Role.MAINTAINER
    pushers: set[int] = field(default_factory=set)
    allow_force_push: bool = False
    code_owner_approval_required: bool = False


@dataclass
class Hook:
    """A project webhook."""

    id: int
    url: str
    token: str
    events: tuple[str, ...] = ("push", "merge_request", "note")


@dataclass
class Project:
    """A project; `tier` decides which settings exist, `settings` is what `GET /projects/:id` shows besides."""

    id: int
    path: str
    bare: Path
    owner: Account
    members: dict[int, Role] = field(default_factory=dict)
    accounts: dict[int, Account] = field(default_factory=dict)
    protected: dict[str, Protection] = field(default_factory=dict)
    merges: dict[int, Merge] = field(default_factory=dict)
    events: list[Push] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    variables: list[dict[str, Any]] = field(default_factory=list)
    protected_tags: list[dict[str, Any]] = field(default_factory=list)
    approval_rules: list[dict[str, Any]] = field(default_factory=list)
    approval_settings: dict[str, Any] = field(default_factory=dict)
    push_rule: dict[str, Any] | None = None
    job_token_scope: dict[str, Any] = field(
        default_factory=lambda: {"inbound_enabled": True, "outbound_enabled": False}
    )
    runners: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    # Of the latest successful pipeline: ref, job, path -> content.
    artifacts: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    forked_from: Project | None = None
    visibility: str = "private"
    tier: str = "premium"
    merge_method: str = "merge"
    reset_approvals_on_push: bool = False

    def role(self, account: Account | None) -> Role:
        """What an account may do here."""
        if account is None:
            return Role.NONE
        return Role.OWNER if account.id == self.owner.id else self.members.get(account.id, Role.NONE)

    def grant(self, account: Account, role: Role) -> None:
        """Make an account a member."""
        self.accounts[account.id] = account
        self.members[account.id] = role

    def protect(self, branch: str, **rules: Any) -> None:
        """Protect a branch (a name or a pattern with `*`)."""
        self.protected[branch] = Protection(**rules)


class Numbers:
    """Ids as GitLab gives them: one series for each kind, growing."""

    def __init__(self) -> None:
        self._series: dict[str, itertools.count[int]] = {}

    def next(self, kind: str) -> int:
        """The next id of a kind."""
        return next(self._series.setdefault(kind, itertools.count(1001)))
