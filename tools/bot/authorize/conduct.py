"""What happened around one merge request, by GitLab's own account: who pushed, who approved, and when.

Nothing here comes from commits: a committer writes their names, e-mails and dates. Facts alone; `counting` judges them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tools.bot.records import Approval, DiffVersion, MergeRequest, Note, Push, User

_GAVE = re.compile(r"^approved this merge request\b", re.IGNORECASE)
_TOOK = re.compile(r"^(unapproved this merge request|removed approval|reset approvals)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Conduct:
    """One merge request with all that the decision looks at.

    pushers: everybody who pushed to its branch. unknown_pushes: why that list may lack somebody; empty when it is complete.
    """

    merge_request: MergeRequest
    versions: tuple[DiffVersion, ...]
    approvals: tuple[Approval, ...]
    pushers: tuple[User, ...]
    unknown_pushes: str = ""

    @property
    def last_version(self) -> DiffVersion | None:
        """What it held when it was merged."""
        return max(self.versions, key=lambda version: (version.created_at, version.id), default=None)


def dated(approvals: Iterable[Approval], notes: Sequence[Note]) -> tuple[Approval, ...]:
    """Approvals with their times; those that older servers do not give come from the system notes."""
    return tuple(
        approval if approval.approved_at is not None else replace(approval, approved_at=_noted(approval.user, notes))
        for approval in approvals
    )


def _noted(user: User, notes: Sequence[Note]) -> datetime | None:
    """When the history last says that a user approved, unless it says later that the approval was taken back."""
    moment = None
    for note in sorted((note for note in notes if note.system), key=lambda note: (note.created_at, note.id)):
        if note.author == user and _GAVE.match(note.body):
            moment = note.created_at
        elif _TOOK.match(note.body) and (note.author == user or not note.body.lower().startswith("unapproved")):
            moment = None
    return moment


def pushers(
    merge_request: MergeRequest,
    versions: Sequence[DiffVersion],
    pushes: Sequence[Push],
    landed: Callable[[str], bool],
) -> tuple[tuple[User, ...], str]:
    """Everybody who pushed what was merged, and why that may not be all; an empty text when it is.

    The events must account for the content: from the head that was merged back, push by push, to where the branch was made
    or to a commit that main had already. pushes: newest first, of the source branch and of several branches at once.
    landed: whether main held a commit before the merge.
    """
    found: list[User] = []
    commit: str | None = merge_request.head_sha
    for push in (push for push in pushes if push.ref == merge_request.source_branch):
        if commit is None or landed(commit):
            break
        if push.commit_to == commit:
            found.append(push.author)
            commit = push.commit_from
    since = min((version.created_at for version in versions), default=None)
    found += [push.author for push in pushes if not push.ref and (since is None or push.created_at >= since)]
    gap = commit is not None and not landed(commit)
    unknown = f"no push event says who pushed {commit[:12]} to {merge_request.source_branch}" if gap and commit else ""
    return tuple(dict.fromkeys(found)), unknown
