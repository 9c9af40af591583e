"""People and approvals that counted, as records hold them."""

from __future__ import annotations

from collections.abc import Sequence

from tools.bot.authorize.counting import Counted
from tools.bot.records import User
from tools.bot.upkeep.outcomes import stamp
from tools.formats.audit import Approval
from tools.formats.people import Person


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
