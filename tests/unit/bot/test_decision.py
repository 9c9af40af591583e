"""The verdict on one merged experiment, case by case: each case changes one thing of an experiment that may run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tools.bot.authorize.conduct import Conduct, dated, pushers
from tools.bot.authorize.decision import Evidence, Rules, Verdict, decide, decide_cancel
from tools.bot.records import Approval, DiffVersion, MergeRequest, Note, Push, User
from tools.formats.people import Person

ANNA, JAN = User(101, "anna.nowak"), User(102, "jan.kowalski")
MARIA, TOMASZ = User(201, "maria.wisniewska"), User(202, "tomasz.zielinski")
PIOTR, EVE = User(301, "piotr.admin"), User(666, "eve")
MERGED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HEAD, BASE = "a" * 40, "b" * 40
SHA = "1" * 64


def before(minutes: float) -> datetime:
    """A time before the merge."""
    return MERGED - timedelta(minutes=minutes)


def people(*users: User) -> tuple[Person, ...]:
    """Users as files list them."""
    return tuple(Person(username=user.username, id=user.id) for user in users)


REQUEST = MergeRequest(
    iid=7, state="merged", title="exp-002", web_url="https://gitlab.example/mr/7", author=ANNA, source_branch="exp-002",
    target_branch="main", source_project_id=1, head_sha=HEAD, merge_commit_sha="c" * 40, squash_commit_sha=None,
    merged_at=MERGED, merged_by=MARIA,
)  # fmt: skip
CONDUCT = Conduct(
    REQUEST, (DiffVersion(1, HEAD, BASE, BASE, before(30)),), (Approval(MARIA, before(10)),), pushers=(ANNA,)
)
RULES = Rules(members=people(ANNA, JAN), approvers=people(MARIA, TOMASZ), required=1, admins=people(PIOTR))
GOOD = Evidence(
    file="experiments/team-a/exp-002.yaml", attempt=1, run_id="exp-002-11111111", sha256=SHA, conduct=CONDUCT,
    rules=RULES, same_content=True, shown={SHA: before(20)},
)  # fmt: skip


def conduct(**changed: Any) -> Evidence:
    """The good evidence with something else around its merge request."""
    return replace(GOOD, conduct=replace(CONDUCT, **changed))


def rules(**changed: Any) -> Evidence:
    """The good evidence with other people on main before the merge."""
    return replace(GOOD, rules=replace(RULES, **changed))


def approved(*approvals: tuple[User, datetime | None]) -> Evidence:
    """The good evidence with other approvals."""
    return conduct(approvals=tuple(Approval(*each) for each in approvals))


ALLOWED = {
    "approved once by an approver": GOOD,
    "an approver who merges it as well": GOOD,
    "two of two approvals": replace(
        approved((MARIA, before(10)), (TOMASZ, before(9))), rules=replace(RULES, required=2)
    ),
    "approved in the second of the merge": approved((MARIA, MERGED)),
    "an approver under a new name: the number counts": approved((User(201, "maria.nowak"), before(10))),
    "an admin as well for high priority": replace(
        approved((MARIA, before(10)), (PIOTR, before(9))), admin=("priority is high",)
    ),
    "an invalid approval beside a valid one": approved((ANNA, before(5)), (MARIA, before(10))),
    "a third attempt after two": replace(GOOD, attempt=3, recorded=(1, 2)),
    "shown for several environments": replace(GOOD, shown={SHA: before(20), "2" * 64: before(1)}),
    "an earlier version that was approved again": conduct(
        versions=(DiffVersion(1, BASE, BASE, BASE, before(60)), DiffVersion(2, HEAD, BASE, BASE, before(30)))
    ),
}
REFUSED = {
    "a direct push": (replace(GOOD, conduct=None), "without a merged merge request"),
    "nobody approved": (approved(), "0 of 1 approvals by the tenant's approvers (maria.wisniewska, tomasz.zielinski)"),
    "self-approval": (
        replace(approved((ANNA, before(5))), rules=replace(RULES, approvers=people(ANNA, MARIA))),
        "anna.nowak (id 101) does not count: it is the author's own",
    ),
    "approval by somebody who pushed": (conduct(pushers=(ANNA, MARIA)), "this user pushed to the merge request"),
    "nobody knows who pushed": (conduct(unknown_pushes="no push event"), "it is not known who pushed to !7"),
    "approval before a late push": (
        conduct(versions=(DiffVersion(1, BASE, BASE, BASE, before(30)), DiffVersion(2, HEAD, BASE, BASE, before(5)))),
        "given at 2026-11-23 11:50:00 UTC, before the last push at 2026-11-23 11:55:00 UTC",
    ),
    "approval in the moment of the push": (approved((MARIA, before(30))), "before the last push"),
    "approval after the merge": (approved((MARIA, MERGED + timedelta(seconds=1))), "after the merge"),
    "approval without a time": (approved((MARIA, None)), "GitLab does not say when it was given"),
    "approval by a stranger": (approved((EVE, before(5))), "listed this user id"),
    "a stranger under an approver's name": (approved((User(666, "maria.wisniewska"), before(5))), "(id 666)"),
    "an approver that the merge request itself added": (
        replace(approved((EVE, before(5))), rules=RULES),
        "before the merge neither the tenant's approvers",
    ),
    "an approver removed before the merge": (rules(approvers=people(TOMASZ)), "0 of 1 approvals"),
    "one approval of two": (rules(required=2), "1 of 2 approvals"),
    "the same approver twice": (
        replace(approved((MARIA, before(10)), (MARIA, before(9))), rules=replace(RULES, required=2)),
        "1 of 2 approvals",
    ),
    "a tenant that was not there": (replace(GOOD, rules=None), "no valid tenants/team-a/tenant.yaml before the merge"),
    "high priority without an admin": (
        replace(GOOD, admin=("priority is high",)),
        "a platform admin (piotr.admin) has to approve as well, one person more, because priority is high",
    ),
    "the admin is the only approver": (
        replace(
            approved((PIOTR, before(5))), rules=replace(RULES, approvers=people(PIOTR)), admin=("priority is high",)
        ),
        "one person more",
    ),
    "an admin in place of an approver": (approved((PIOTR, before(5))), "0 of 1 approvals"),
    "an admin who opened it": (
        replace(
            conduct(
                merge_request=replace(REQUEST, author=PIOTR),
                approvals=(Approval(MARIA, before(9)), Approval(PIOTR, before(8))),
            ),
            admin=("priority is high",),
        ),
        "a platform admin (piotr.admin) has to approve as well",
    ),
    "an admin who approved too late": (
        replace(approved((MARIA, before(5)), (PIOTR, MERGED + timedelta(hours=1))), admin=("priority is high",)),
        "the approval of piotr.admin (id 301) does not count",
    ),
    "other content on main": (replace(GOOD, same_content=False), "is not the file that !7 held"),
    "another run than shown": (replace(GOOD, shown={"2" * 64: before(20)}), "showed run 222222222222, main now gives"),
    "never shown": (replace(GOOD, shown={}), "never showed what this commit would run"),
    "approval before the comment showed this run": (
        replace(GOOD, shown={"2" * 64: before(20), SHA: before(5)}),
        "before the comment showed this run at 2026-11-23 11:55:00 UTC",
    ),
    "the same run again": (replace(GOOD, recorded=(1,)), "attempt 1 of exp-002-11111111 was authorized before"),
    "an attempt that was": (replace(GOOD, attempt=2, recorded=(1, 2)), "write `attempt: 3`"),
    "cancelled for good": (replace(GOOD, attempt=2, recorded=(1,), cancelled=True), "cancelled, which is for good"),
    "faults": (replace(GOOD, run_id="", sha256="", faults=("the model is not there: open a merge request",)), "the model is not"),
    "versions that end elsewhere": (
        conduct(versions=(DiffVersion(1, BASE, BASE, BASE, before(30)),)), "do not end with its head commit",
    ),
    "no versions at all": (conduct(versions=()), "do not end with its head commit"),
}  # fmt: skip


@pytest.mark.parametrize("case", ALLOWED)
def test_what_may_run(case: str) -> None:
    """Authorized, with no reason against it and the approvals that count."""
    verdict = decide(ALLOWED[case])
    assert (verdict.state, verdict.reasons) == ("authorized", ())
    assert {each.person.id for each in verdict.approvals} <= {201, 202, 301}
    assert len(verdict.approvals) >= 1


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_not_run(case: str) -> None:
    """Refused, for a reason that names what was found and tells what to do."""
    evidence, words = REFUSED[case]
    verdict = decide(evidence)
    assert verdict.state == "refused"
    assert any(words in reason for reason in verdict.reasons), verdict.reasons
    assert verdict.approvals == ()
    said = " ".join(verdict.reasons)
    assert any(remedy in said for remedy in ("open a merge request", "copy", "write `attempt", "push the branch anew"))


def test_every_reason_is_given_at_once() -> None:
    """Nobody has to correct one thing to hear of the next."""
    evidence = replace(
        conduct(pushers=(ANNA, MARIA), approvals=(Approval(MARIA, MERGED + timedelta(minutes=1)),)),
        same_content=False, shown={}, admin=("priority is high",),
    )  # fmt: skip
    said = " ".join(decide(evidence).reasons)
    for words in ("is not the file", "never showed", "0 of 1", "platform admin", "pushed to", "after the merge"):
        assert words in said


def test_commit_dates_are_not_evidence() -> None:
    """The records that the decision sees hold no date or e-mail of a commit, so a backdated commit changes nothing."""
    late = conduct(versions=(DiffVersion(1, HEAD, BASE, BASE, before(1)),))
    assert decide(late).state == "refused"  # pushed late, whatever its commits say
    assert not {"committed_date", "authored_date", "author_email"} & set(DiffVersion.__dataclass_fields__)


@pytest.mark.parametrize(
    ("merger", "state"), [(ANNA, "authorized"), (MARIA, "authorized"), (PIOTR, "authorized"), (EVE, "refused"), (None, "refused")]
)  # fmt: skip
def test_a_cancellation_takes_the_merge_of_one_of_the_tenants_people(merger: User | None, state: str) -> None:
    """No approval is needed, but nobody else may stop a run."""
    found = replace(CONDUCT, merge_request=replace(REQUEST, merged_by=merger), approvals=())
    verdict = decide_cancel(GOOD.file, found, RULES)
    assert verdict.state == state
    assert bool(verdict.reasons) == (state == "refused")


def test_a_cancellation_takes_a_merge_request() -> None:
    """A direct push cancels nothing."""
    assert decide_cancel(GOOD.file, None, RULES) == Verdict("refused", decide(replace(GOOD, conduct=None)).reasons)


def note(minutes: float, author: User, body: str, *, system: bool = True) -> Note:
    """A line of the history."""
    return Note(int(1000 - minutes * 10), author, body, system, before(minutes), before(minutes))


@pytest.mark.parametrize(
    ("notes", "at"),
    [
        ([note(9, MARIA, "approved this merge request")], before(9)),
        ([note(9, MARIA, "approved this merge request"), note(5, MARIA, "approved this merge request")], before(5)),
        ([note(9, MARIA, "approved this merge request"), note(8, MARIA, "unapproved this merge request")], None),
        ([note(9, TOMASZ, "approved this merge request")], None),
        ([note(9, MARIA, "approved this merge request", system=False)], None),
        ([note(9, MARIA, "I never approved this merge request")], None),
        ([], None),
    ],
)
def test_older_servers_say_the_time_in_the_history(notes: list[Note], at: datetime | None) -> None:
    """System notes date an approval; a comment with the same words does not."""
    assert dated([Approval(MARIA, None)], notes) == (Approval(MARIA, at),)


def test_a_time_that_the_server_gives_is_kept() -> None:
    """The history is not asked where it is not needed."""
    assert dated([Approval(MARIA, before(3))], [note(9, MARIA, "approved this merge request")])[
        0
    ].approved_at == before(3)


def push(author: User, start: str | None, end: str | None, ref: str = "exp-002") -> Push:
    """A push event."""
    return Push(author, ref, before(20), start, end)


@pytest.mark.parametrize(
    ("pushes", "found", "known"),
    [
        ([push(ANNA, None, HEAD)], {101}, True),
        ([push(ANNA, BASE, HEAD)], {101}, True),  # onto a commit that main has
        ([push(MARIA, "d" * 40, HEAD), push(ANNA, None, "d" * 40)], {101, 201}, True),
        ([push(ANNA, "d" * 40, HEAD)], {101}, False),  # who pushed d?
        ([], set(), False),
        ([push(ANNA, None, HEAD, ref="other")], set(), False),
        ([push(ANNA, None, HEAD), push(TOMASZ, None, None, ref="")], {101, 202}, True),  # several branches at once
        ([push(MARIA, HEAD, None), push(ANNA, None, HEAD)], {101}, True),  # removed the branch after the merge
        ([push(ANNA, None, HEAD), push(MARIA, None, "e" * 40)], {101}, True),  # an earlier branch of this name
        ([push(ANNA, "d" * 40, HEAD), push(MARIA, HEAD, "d" * 40), push(ANNA, None, HEAD)], {101, 201}, True),
        ([push(ANNA, HEAD, "d" * 40), push(ANNA, "d" * 40, HEAD)], {101}, False),  # a circle accounts for nothing
    ],
)
def test_push_events_account_for_the_content(pushes: list[Push], found: set[int], known: bool) -> None:
    """From the merged head back to main or to the branch's beginning; a gap means that somebody may be missing."""
    who, unknown = pushers(REQUEST, [DiffVersion(1, HEAD, BASE, BASE, before(60))], pushes, {BASE}.__contains__)
    assert ({user.id for user in who}, unknown == "") == (found, known)
