"""Puts the evidence on one candidate together and has it judged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from tools.bot.authorize.before import Past
from tools.bot.authorize.candidates import Candidate, Holding
from tools.bot.authorize.conduct import Conduct
from tools.bot.authorize.decision import Evidence, Rules, Verdict, decide, decide_cancel
from tools.bot.authorize.inquiry import Inquiry
from tools.bot.report.changes import outside
from tools.bot.report.needs import needs
from tools.formats.lock import Lock
from tools.plan.quota import gpu_hours

if TYPE_CHECKING:
    from tools.bot.mirror import Mirror
    from tools.bot.store import Store

# The comment's time is the bot's own clock, the merge's is GitLab's.
CLOCKS_APART = timedelta(seconds=5)
State = Literal["waiting", "refused", "authorized", "cancelled"]


@dataclass(frozen=True)
class Decided:
    """What became of one experiment. run_id, sha256: empty where its faults leave no run."""

    candidate: Candidate
    state: State
    verdict: Verdict
    conduct: Conduct | None = None
    rules: Rules | None = None

    @property
    def starts(self) -> bool:
        """Whether an attempt is to start that has not been allowed before."""
        return self.state == "authorized" and self.conduct is not None

    @property
    def stops(self) -> bool:
        """Whether its overlay is to go."""
        return self.state == "cancelled"


@dataclass
class Judge:
    """Judges the candidates of one round; remembers the GPU-hours that it has allowed."""

    mirror: Mirror
    store: Store
    inquiry: Inquiry
    past: Past
    holding: Holding
    main: str
    _allowed: defaultdict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))

    def judge(self, candidate: Candidate) -> Decided | None:
        """The verdict; None where the change asks for nothing, as a comment in the file of a run that goes on.

        Raises:
            ForgeAway: GitLab gives no answer, now.
        """
        run = candidate.run
        if run.action == "cancel":
            return self._cancel(candidate)
        if run.action == "nothing" and candidate.lock is None:
            return None
        if self._goes_on(candidate):
            return Decided(candidate, "authorized", Verdict("authorized", ()))
        conduct = self.inquiry.conduct(candidate.landing)
        rules = self._rules(candidate)
        verdict = decide(self._evidence(candidate, conduct, rules))
        if verdict.state == "authorized" and candidate.lock is not None:
            locked = candidate.lock.run
            self._allowed[locked.environment, locked.tenant] += gpu_hours(locked)
        return Decided(candidate, verdict.state, verdict, conduct, rules)

    def _goes_on(self, candidate: Candidate) -> bool:
        """Whether what the file asks for was allowed already: it has its overlay, or this very landing is on record."""
        run = candidate.run
        if run.action == "nothing" and self.holding.repository.locks.of(run.tenant, run.name):
            return True
        record = self.holding.recorded(candidate.lock) if candidate.lock is not None else None
        entries = record.attempts if record is not None else []
        return any((e.attempt, e.authorized.commit) == (run.attempt, candidate.landing.commit) for e in entries)

    def _cancel(self, candidate: Candidate) -> Decided:
        conduct, rules = self.inquiry.conduct(candidate.landing), self._rules(candidate)
        verdict = decide_cancel(candidate.file, conduct, rules)
        return Decided(candidate, "cancelled" if verdict.state == "authorized" else "refused", verdict, conduct, rules)

    def _rules(self, candidate: Candidate) -> Rules | None:
        before = candidate.landing.before
        tenant = self.past.tenant(before, candidate.run.tenant)
        if tenant is None:
            return None
        members, approvers = tuple(tenant.members), tuple(tenant.approvers)
        return Rules(members, approvers, tenant.required_approvals, self.past.admins(before))

    def _evidence(self, candidate: Candidate, conduct: Conduct | None, rules: Rules | None) -> Evidence:
        lock, file = candidate.lock, candidate.file
        record = self.holding.recorded(lock) if lock is not None else None
        head = conduct.merge_request.head_sha if conduct is not None else self.main
        last = record.last.outcome if record is not None else None
        collision = self.holding.collision(lock) if lock is not None else ""
        return Evidence(
            file=file,
            attempt=candidate.run.attempt,
            run_id=lock.run_id if lock else "",
            sha256=lock.sha256 if lock else "",
            conduct=conduct,
            rules=rules,
            same_content=self.mirror.blob(head, file) == self.mirror.blob(self.main, file),
            shown=self._shown(conduct, candidate.environment),
            admin=self._admin(candidate, lock, conduct) if lock and conduct else (),
            faults=(*candidate.faults, *([collision] if collision else [])),
            recorded=tuple(attempt.attempt for attempt in record.attempts) if record else (),
            cancelled=last is not None and last.result == "cancelled",
        )

    def _shown(self, conduct: Conduct | None, environment: str) -> dict[str, datetime]:
        """Runs that the comment showed for the merged head while it could still be approved, and since when."""
        if conduct is None or conduct.merge_request.merged_at is None:
            return {}
        merge_request, until = conduct.merge_request, conduct.merge_request.merged_at + CLOCKS_APART
        shown = self.store.shown(merge_request.iid, merge_request.head_sha, environment)
        return {each.sha256: each.shown_at - CLOCKS_APART for each in shown if each.shown_at <= until}

    def _admin(self, candidate: Candidate, lock: Lock, conduct: Conduct) -> tuple[str, ...]:
        """Why a platform admin has to approve as well: exactly what the comment said."""
        run, author = lock.run, conduct.merge_request.author
        before = self.past.before(candidate.landing.before, run.tenant, run.model.name)
        used = self.holding.hours(lock, candidate.run.attempt) + self._allowed[run.environment, run.tenant]
        foreign = outside(candidate.file, author, before.tenants)
        return (*needs(run, before, author, used).admin, *([foreign] if foreign else []))
