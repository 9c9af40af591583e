"""What allowed a change, as records and locks hold it: people, approvals that counted, and the lock's extract of both."""

from __future__ import annotations

from collections.abc import Sequence

from tools.bot.authorize.counting import Counted
from tools.bot.records import User
from tools.bot.upkeep.outcomes import stamp
from tools.formats.audit import Approval, Authorization
from tools.formats.lock import Authorized
from tools.formats.people import Person
from tools.formats.promotions import Promotion


def signed(entry: Authorization | Promotion) -> Authorized:
    """What the lock says of an authorized change."""
    return Authorized(
        at=entry.merged_at,
        commit=entry.commit,
        merge_request=entry.merge_request,
        approvers=sorted({approval.user.username for approval in entry.approvals}),
    )


def approvals(counted: Sequence[Counted]) -> list[Approval]:
    """One entry for each role in which an approval counted."""
    found = []
    for each in counted:
        assert each.approval.approved_at is not None
        at = stamp(each.approval.approved_at)
        found += [Approval(user=person(each.approval.user), at=at, role=role) for role in sorted(each.roles)]
    return found


def person(user: User) -> Person:
    """A user of GitLab."""
    return Person(username=user.username, id=user.id)
