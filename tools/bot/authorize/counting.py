"""Which approvals of a merge request count, for whom, and why the others do not. A pure function of the evidence.

An approval counts for what was there when it was given: later than the last push's diff version, after the comment showed the
run, not later than the merge, by somebody who neither opened the merge request nor pushed to it, and whom the files on main named before the merge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tools.bot.authorize.conduct import Conduct
from tools.bot.records import Approval, User
from tools.formats.people import Person

Role = Literal["approver", "admin"]
_TIME = "%Y-%m-%d %H:%M:%S UTC"


@dataclass(frozen=True)
class Counted:
    """An approval that counts; somebody who is both an approver and an admin has both roles."""

    person: Person
    approval: Approval
    roles: frozenset[Role]


@dataclass(frozen=True)
class Counting:
    """What counts, and a sentence for each approval that does not."""

    counted: tuple[Counted, ...]
    ignored: tuple[str, ...]

    def of(self, role: Role) -> tuple[Counted, ...]:
        """Those of one role."""
        return tuple(each for each in self.counted if role in each.roles)


def count(
    conduct: Conduct, approvers: Sequence[Person], admins: Sequence[Person], shown: datetime | None = None
) -> Counting:
    """Judge every approval.

    approvers, admins: those of main before the merge. shown: since when the comment showed what would run.
    """
    counted, ignored = [], []
    each_once = {approval.user.id: approval for approval in conduct.approvals}
    for approval in each_once.values():
        roles = _roles(approval.user, approvers, admins)
        faults = list(_faults(approval, conduct, shown))
        if not roles:
            faults.append(
                "before the merge neither the tenant's approvers nor the platform's admins listed this user id"
            )
        if faults:
            name, number = approval.user.username, approval.user.id
            ignored.append(f"the approval of {name} (id {number}) does not count: {'; '.join(faults)}")
        else:
            person = next(person for person in (*approvers, *admins) if person.id == approval.user.id)
            counted.append(Counted(person, approval, roles))
    return Counting(tuple(counted), tuple(ignored))


def satisfied(counting: Counting, required: int, *, admin: bool) -> bool:
    """Whether there are enough people: `required` approvers and, with `admin`, a platform admin besides."""
    approvers, admins = counting.of("approver"), counting.of("admin")
    everybody = len(counting.counted)
    return len(approvers) >= required and (not admin or (len(admins) >= 1 and everybody >= required + 1))


def _roles(user: User, approvers: Sequence[Person], admins: Sequence[Person]) -> frozenset[Role]:
    listed: dict[Role, Sequence[Person]] = {"approver": approvers, "admin": admins}
    return frozenset(role for role, people in listed.items() if any(person.id == user.id for person in people))


def _faults(approval: Approval, conduct: Conduct, shown: datetime | None) -> Iterator[str]:
    merge_request, version, at = conduct.merge_request, conduct.last_version, approval.approved_at
    if approval.user == merge_request.author:
        yield "it is the author's own"
    elif approval.user in conduct.pushers:
        yield "this user pushed to the merge request"
    if at is None:
        yield "GitLab does not say when it was given"
        return
    if version is not None and at <= version.created_at:
        yield f"it was given at {at:{_TIME}}, before the last push at {version.created_at:{_TIME}}"
    elif shown is not None and at < shown:
        yield f"it was given at {at:{_TIME}}, before the comment showed this run at {shown:{_TIME}}"
    if merge_request.merged_at is not None and at > merge_request.merged_at:
        yield f"it was given at {at:{_TIME}}, after the merge at {merge_request.merged_at:{_TIME}}"
