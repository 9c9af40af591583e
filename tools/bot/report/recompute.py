"""A merge request's files, validated and planned with the tools' own code: what its comment says, as values.

The repository is the target branch with the merge request's files laid over it, all as data: what main will hold once it is
merged. Nothing of the merge request is run, and none of its pipeline's artifacts is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tools.bot.records import User
from tools.bot.report.changes import Change, is_bots, outside
from tools.bot.report.needs import Before
from tools.bot.report.runs import Run, examine
from tools.bot.report.served import ServedChange
from tools.bot.report.served import changes as served_changes
from tools.findings import Finding, compose
from tools.plan.planner import Planner
from tools.plan.quota import Share, gpu_hours
from tools.repository import Repository
from tools.rules.kinds import FOLDERS, place_of
from tools.validate import check

MOST_FILES = 2000  # of one merge request: a migration, not a day's work
MOST_PLANS = 50
_MIXED = "the target branch changed this file as well: rebase the branch, so that all see what they approve"


@dataclass(frozen=True, slots=True)
class Total:
    """What the new runs of a merge request take together of a tenant's quota in one environment."""

    tenant: str
    environment: str
    runs: int
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the comment says before the merge.

    findings: in the files that the merge request changes. elsewhere: errors in waiting experiments that it does not change,
    but which depend on something that it does. outside: (path, why a platform admin has to approve it).
    too_many: more files than are looked at; nothing else is filled in then.
    """

    changes: tuple[Change, ...]
    findings: tuple[Finding, ...] = ()
    elsewhere: tuple[Finding, ...] = ()
    runs: tuple[Run, ...] = ()
    outside: tuple[tuple[str, str], ...] = ()
    totals: tuple[Total, ...] = ()
    before: Before = field(default_factory=lambda: Before({}, (), frozenset()))
    too_many: bool = False
    served: tuple[ServedChange, ...] = ()

    @property
    def errors(self) -> int:
        """Findings that have to be corrected before anything can run."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def starting(self) -> tuple[Run, ...]:
        """Runs that take GPUs once they are authorized."""
        return tuple(run for run in self.runs if run.action in {"start", "again"})

    @property
    def admin_reasons(self) -> tuple[str, ...]:
        """Why a platform admin has to approve, each once."""
        reasons = [reason for run in self.starting if run.needs for reason in run.needs.admin]
        files = [f"{len(self.outside)} changed file(s) outside the author's tenants"] if self.outside else []
        return tuple(dict.fromkeys([*reasons, *files]))


def recompute(
    repository: Repository,
    before: Before,
    changes: Sequence[Change],
    author: User,
    mixed: frozenset[str] = frozenset(),
    bot: User | None = None,
) -> Report:
    """Judge a merge request.

    repository: what merging gives. before: read from the target branch alone. mixed: files whose merged content is neither
    side's, so that nobody has seen it. bot: the bot's own account, which may propose what is served.
    """
    ordered = tuple(sorted(changes, key=lambda change: change.path))
    if len(ordered) > MOST_FILES:
        return Report(ordered, too_many=True)
    paths = {change.path for change in ordered}
    findings = [*_of_changed(repository, ordered), *_removed(repository, ordered), *_generated(ordered)]
    faulty = {finding.file for finding in findings if finding.severity == "error"}
    runs: list[Run] = []
    planner = Planner(repository)
    for change in ordered:
        if change.kind != "removed" and (place := place_of(change.path)) and place.kind == "experiment":
            run, more = examine(planner, change.path, faulty=change.path in faulty, plan=len(runs) < MOST_PLANS)
            if change.path in mixed:
                run = Run(run.file, run.tenant, run.name, "invalid", why=_MIXED)
            runs.append(run)
            findings += more
    totals = _totals(runs)
    return Report(
        changes=ordered,
        findings=tuple(sorted(findings)),
        elsewhere=tuple(_elsewhere(repository, ordered, paths)),
        runs=tuple(run.with_needs(before, author, _used(repository, run, totals)) for run in runs),
        outside=tuple(_outside(ordered, before, author, own=author == bot)),
        totals=totals,
        before=before,
        served=tuple(served_changes(repository, before, ordered)),
    )


def _outside(changes: Sequence[Change], before: Before, author: User, *, own: bool) -> Iterator[tuple[str, str]]:
    """own: whether the bot proposes it; a promotion takes no more than the tenant's approvers then."""
    for change in changes:
        why = outside(change.path, author, before.tenants)
        if why is not None and not (own and change.path.startswith("serving/")):
            yield change.path, why


def _of_changed(repository: Repository, changes: Sequence[Change]) -> Iterator[Finding]:
    for change in changes:
        if change.kind != "removed" and change.path.split("/", 1)[0] in FOLDERS:
            yield from check(repository, change.path)


def _removed(repository: Repository, changes: Sequence[Change]) -> Iterator[Finding]:
    """An experiment whose run goes on must not go; its lock would be without a source."""
    for change in changes:
        place = place_of(change.path)
        if change.kind != "removed" or place is None or place.kind != "experiment":
            continue
        if place.name in repository.locks.taken(place.tenant_name):
            found = f"the experiment is removed, and its run {place.tenant_name}/{place.name} has an overlay"
            remedy = "put the file back; `ft cancel` stops the run"
            message = compose(found, "an experiment for each overlay", remedy)
            yield Finding(change.path, 1, 1, "expand-experiment", "error", message)


def _generated(changes: Sequence[Change]) -> Iterator[Finding]:
    for change in changes:
        if is_bots(change.path):
            folder = change.path.split("/", 1)[0]
            message = compose(f"{change.kind} by hand", f"nothing: only the bot writes {folder}/", "undo the change")
            rule = "audit-changed" if folder == "audit" else "expand-changed"
            yield Finding(change.path, 1, 1, rule, "error", message)


def _elsewhere(repository: Repository, changes: Sequence[Change], paths: set[str]) -> Iterator[Finding]:
    """Errors in experiments that wait, where the merge request changes what they refer to."""
    tenants, everything = set(), False
    for change in changes:
        match change.path.split("/"):
            case ["tenants", tenant, _, *_]:
                tenants.add(tenant)
            case ["catalog" | "environments", _, *_]:
                everything = True
    for file in repository.experiments() if tenants or everything else ():
        tenant, name = file.split("/")[1], file.rpartition("/")[2].removesuffix(".yaml")
        wanted = file not in paths and (everything or tenant in tenants)
        if wanted and name not in repository.locks.taken(tenant):
            yield from (finding for finding in check(repository, file) if finding.severity == "error")


def _totals(runs: Sequence[Run]) -> tuple[Total, ...]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.action == "start" and run.plan is not None:
            groups.setdefault((run.tenant, run.plan.lock.run.environment), []).append(run)
    return tuple(Total(*key, len(group), _added_up(group)) for key, group in sorted(groups.items()))


def _added_up(group: Sequence[Run]) -> tuple[Share, ...]:
    plans = [run.plan for run in group if run.plan is not None]
    return tuple(
        Share(one.name, one.unit, one.before, sum(plan.shares[index].taken for plan in plans), one.allowed)
        for index, one in enumerate(plans[0].shares)
    )


def _used(repository: Repository, run: Run, totals: Sequence[Total]) -> float:
    """GPU-hours of the month beside the run's own: of authorized runs, and of the other new ones here."""
    if run.plan is None:
        return 0.0
    locked = run.plan.lock.run
    own = (run.plan.lock.run_id, run.attempt)
    spent = repository.locks.spent(locked.environment, locked.tenant)
    used = sum(entry.hours for entry in spent if (entry.run_id, entry.attempt) != own)
    new = sum(
        share.taken
        for total in totals
        if (total.tenant, total.environment) == (locked.tenant, locked.environment)
        for share in total.shares
        if share.unit == "GPU-hours"
    )
    return used + new - (gpu_hours(locked) if run.action == "start" else 0.0)
