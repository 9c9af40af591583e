"""Asks GitLab about merged merge requests, each question once a round.

Two calls a merge request (versions, approvals; a third, for its history, on servers that do not date approvals) and one for all
push events together, which is what keeps fifty merged experiments within three calls each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tools.bot.authorize.conduct import Conduct, dated, pushers
from tools.bot.authorize.history import Landing
from tools.bot.errors import ForgeRefused
from tools.bot.records import Approval, DiffVersion, MergeRequest, Push, User

if TYPE_CHECKING:
    from tools.bot.forge import Forge
    from tools.bot.mirror import Mirror

# A branch is usually pushed shortly before its merge request is opened; where the events leave a gap, further back.
_BEFORE_OPENING = timedelta(days=2)
_FURTHER_BACK = timedelta(days=90)


@dataclass
class Inquiry:
    """What GitLab said in this round."""

    forge: Forge
    mirror: Mirror
    _versions: dict[int, list[DiffVersion]] = field(default_factory=dict)
    _conducts: dict[int, Conduct] = field(default_factory=dict)
    _pushes: dict[int, tuple[datetime, list[Push] | None]] = field(default_factory=dict)
    _widened: set[int] = field(default_factory=set)

    def versions(self, merge_request: MergeRequest) -> list[DiffVersion]:
        """Its diff versions, newest first."""
        if merge_request.iid not in self._versions:
            self._versions[merge_request.iid] = self.forge.versions(merge_request.iid)
        return self._versions[merge_request.iid]

    def base_of(self, merge_request: MergeRequest) -> str | None:
        """Where its last version began."""
        found = self.versions(merge_request)
        return found[0].base_sha if found else None

    def expect(self, merge_requests: Iterable[MergeRequest]) -> None:
        """Fetch the push events of all these at once, before `conduct` is asked for each."""
        since: dict[int, datetime] = {}
        for merge_request in merge_requests:
            project = merge_request.source_project_id
            opened = min((version.created_at for version in self.versions(merge_request)), default=None)
            if project is not None and opened is not None:
                since[project] = min(since.get(project, opened), opened)
        for project, opened in since.items():
            self._events(project, opened - _BEFORE_OPENING)

    def conduct(self, landing: Landing) -> Conduct | None:
        """What happened around a landing's merge request; None for a direct push.

        Raises:
            ForgeAway: GitLab gives no answer, now.
        """
        merge_request = landing.merge_request
        if merge_request is None:
            return None
        if merge_request.iid not in self._conducts:
            self._conducts[merge_request.iid] = self._ask(merge_request, landing.before)
        return self._conducts[merge_request.iid]

    def _ask(self, merge_request: MergeRequest, before: str) -> Conduct:
        versions = tuple(self.versions(merge_request))
        approvals: Sequence[Approval] = self.forge.approvals(merge_request.iid)
        if any(approval.approved_at is None for approval in approvals):
            approvals = dated(approvals, self.forge.notes(merge_request.iid))
        found: tuple[User, ...] = ()
        unknown = "the fork that it came from is gone"
        if merge_request.source_project_id is not None:
            self.expect([merge_request])
            found, unknown = self._pushers(merge_request, versions, before)
        return Conduct(merge_request, versions, tuple(approvals), found, unknown)

    def _pushers(
        self, merge_request: MergeRequest, versions: Sequence[DiffVersion], before: str
    ) -> tuple[tuple[User, ...], str]:
        project = merge_request.source_project_id
        assert project is not None
        since, events = self._pushes.get(project, (None, None))
        if events is None:
            return (), "its project's push events cannot be read"

        def landed(commit: str) -> bool:
            return self.mirror.is_ancestor(commit, before)

        found, unknown = pushers(merge_request, versions, events, landed)
        if unknown and since is not None and project not in self._widened:
            self._widened.add(project)
            events = self._events(project, since - _FURTHER_BACK)
            found, unknown = pushers(merge_request, versions, events or [], landed)
        return found, unknown

    def _events(self, project: int, since: datetime) -> list[Push] | None:
        """Push events of a project since a moment; None where the token may not read them (a private fork)."""
        known = self._pushes.get(project)
        if known is None or since < known[0]:
            try:
                found: list[Push] | None = self.forge.pushes(project, None, since)
            except ForgeRefused:
                if project == self.forge.project_id:
                    raise
                found = None
            self._pushes[project] = (since, found)
        return self._pushes[project][1]
