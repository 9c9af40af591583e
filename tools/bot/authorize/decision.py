"""The verdict on one experiment that main holds: from evidence alone to every reason why not. No input or output.

Each reason says what was found and what to do. What is merged cannot be approved afterwards, so the way out of most is a new
merge request; `runs once` is the audit record's rule, which outlives overlays, reverts and repeated events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tools.bot.authorize.conduct import Conduct
from tools.bot.authorize.counting import Counted, Counting, count, satisfied
from tools.formats.people import Person

State = Literal["authorized", "refused"]
AGAIN = "open a merge request that changes the experiment again (its description is enough), have it approved after the last push, and merge it"
# What is served and what is recalled is put back as it was, so that the same change can be proposed once more.
ANEW = "open a merge request with the change anew, have it approved after the last push, and merge it"


@dataclass(frozen=True)
class Rules:
    """What main said before the merge; an experiment's own merge request cannot change what it is judged by."""

    members: tuple[Person, ...]
    approvers: tuple[Person, ...]
    required: int
    admins: tuple[Person, ...]


@dataclass(frozen=True)
class Evidence:
    """All that decides about one experiment.

    run_id, sha256: recomputed from what main holds now; empty when it has faults, which `faults` then names.
    conduct: the merge request that brought the content in; None for a direct push.
    rules: None when there was no such tenant before the merge.
    same_content: whether main holds the very bytes of the merge request's head.
    shown: full hashes that the comment showed for that head before the merge, and since when; None where the merge request's
    own diff says everything that it allows.
    admin: why a platform admin has to approve as well.
    recorded: attempts of this run id that audit/ has; cancelled: whether the last of them was cancelled.
    """

    file: str
    attempt: int
    run_id: str
    sha256: str
    conduct: Conduct | None
    rules: Rules | None
    same_content: bool
    shown: Mapping[str, datetime] | None
    admin: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    recorded: tuple[int, ...] = ()
    cancelled: bool = False


@dataclass(frozen=True)
class Verdict:
    """Allowed with these approvals, or refused for all of these reasons."""

    state: State
    reasons: tuple[str, ...]
    approvals: tuple[Counted, ...] = ()


def decide(evidence: Evidence) -> Verdict:
    """Whether the run, or its next attempt, may start."""
    conduct, rules = evidence.conduct, evidence.rules
    reasons = [*evidence.faults, *_once(evidence)]
    if conduct is None:
        reasons.append(_no_merge_request(evidence.file))
        return Verdict("refused", tuple(reasons))
    if rules is None:
        tenant = _tenant(evidence.file)
        reasons.append(
            f"main had no valid tenants/{tenant}/tenant.yaml before the merge: have the tenant added first, then {_again(evidence.file)}"
        )
        return Verdict("refused", tuple(reasons))
    shown = evidence.shown.get(evidence.sha256) if evidence.shown is not None else None
    counting = count(conduct, rules.approvers, rules.admins, shown)
    reasons += [*_content(evidence, conduct), *_people(conduct), *_approvals(evidence, rules, counting)]
    if reasons:
        return Verdict("refused", tuple(reasons))
    return Verdict("authorized", (), counting.counted if evidence.admin else counting.of("approver"))


def decide_cancel(file: str, conduct: Conduct | None, rules: Rules | None) -> Verdict:
    """Whether a merged `state: cancelled` stops the run: the merge by one of the tenant's own people is enough."""
    if conduct is None:
        return Verdict("refused", (_no_merge_request(file),))
    merger = conduct.merge_request.merged_by
    people = (*rules.members, *rules.approvers, *rules.admins) if rules is not None else ()
    if merger is not None and any(person.id == merger.id for person in people):
        return Verdict("authorized", ())
    who = f"{merger.username} (id {merger.id})" if merger is not None else "nobody that GitLab names"
    tenant, what = _tenant(file), "sets `state: cancelled` (`ft cancel` writes it)"
    reason = (
        f"!{conduct.merge_request.iid} was merged by {who}, who is neither of {tenant} nor a platform admin:"
        f" let a member of {tenant} merge one that {what if file.startswith('experiments/') else f'removes {file}'}"
    )
    return Verdict("refused", (reason,))


def _once(evidence: Evidence) -> Iterator[str]:
    """A run id is authorized once per environment, each attempt a single time."""
    if evidence.cancelled:
        yield f"{evidence.run_id} was cancelled, which is for good: copy the experiment to a file with a new name"
    elif evidence.recorded and evidence.attempt <= max(evidence.recorded):
        last = max(evidence.recorded)
        yield (
            f"attempt {last} of {evidence.run_id} was authorized before, and no run starts twice: write `attempt: {last + 1}`"
            " to run it again, or copy it to a file with a new name"
        )


def _no_merge_request(file: str) -> str:
    return f"{file} came to main without a merged merge request: {_again(file)}"


def _again(file: str) -> str:
    return AGAIN if file.startswith("experiments/") else ANEW


def _tenant(file: str) -> str:
    """`experiments/<tenant>/...`, `recalls/<tenant>/...`, `serving/<env>/<tenant>/...`."""
    return file.split("/")[2 if file.startswith("serving/") else 1]


def _content(evidence: Evidence, conduct: Conduct) -> Iterator[str]:
    """What was approved is what main holds."""
    number, again = conduct.merge_request.iid, _again(evidence.file)
    version = conduct.last_version
    if version is None or version.head_sha != conduct.merge_request.head_sha:
        yield f"GitLab's diff versions of !{number} do not end with its head commit, so no approval can be placed in time: {again}"
    if not evidence.same_content:
        yield f"{evidence.file} on main is not the file that !{number} held when it was merged: {again}"
    if evidence.faults or not evidence.sha256 or evidence.shown is None:
        return
    if not evidence.shown:
        yield f"the bot's comment on !{number} never showed what this commit would run, so nobody can have approved it: {AGAIN}"
    elif evidence.sha256 not in evidence.shown:
        shown = ", ".join(sorted(hash_[:12] for hash_ in evidence.shown))
        yield (
            f"the comment on !{number} showed run {shown}, main now gives {evidence.sha256[:12]} (a dataset, the base model,"
            f" the image or a default changed in between): {AGAIN}"
        )


def _people(conduct: Conduct) -> Iterator[str]:
    if conduct.unknown_pushes:
        yield (
            f"it is not known who pushed to !{conduct.merge_request.iid} ({conduct.unknown_pushes}), so nobody is known to be"
            " independent: push the branch anew to this project and open a merge request from it"
        )


def _approvals(evidence: Evidence, rules: Rules, counting: Counting) -> Iterator[str]:
    admin, again = evidence.admin, _again(evidence.file)
    if satisfied(counting, rules.required, admin=bool(admin)):
        return
    have, needed = len(counting.of("approver")), rules.required
    if have < needed:
        names = ", ".join(person.username for person in rules.approvers) or "nobody"
        yield f"{have} of {needed} approvals by the tenant's approvers ({names}) before the merge: {again}"
    if admin:
        names = ", ".join(person.username for person in rules.admins) or "nobody"
        yield f"a platform admin ({names}) has to approve as well, one person more, because {'; '.join(admin)}: {again}"
    yield from counting.ignored
