"""What an approval authorizes, whose approval it takes, and what is left of the quota."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tools.bot.report.escape import code, count, folded, shown, table
from tools.bot.report.links import Links
from tools.bot.report.needs import Needs
from tools.bot.report.recompute import Report, Total
from tools.bot.report.runs import Run
from tools.formats.people import Person

_MOST_FILES = 50
_ACTIONS = {
    "start": "training starts",
    "again": "training goes on as attempt {attempt}",
    "cancel": "the run is stopped and removed, for good",
    "nothing": "nothing",
    "invalid": "**cannot be authorized**",
}


def runs(report: Report, links: Links) -> Iterator[str]:
    """The table of runs, and the rules by which an approval counts."""
    yield from table(("experiment", "what merging does", "run", "environment", "approvals"), _rows(report, links))
    yield ""
    hashes = [
        (code(run.plan.lock.run_id), code(run.plan.lock.sha256)) for run in report.starting if run.plan is not None
    ]
    if hashes:
        yield "An approval counts when it is given after the last push, and not by the author or anybody who pushed here."
        yield "It allows exactly what is shown here, on this commit's content: a push afterwards takes new approvals."
        yield ""
        yield from folded("Full hashes of what is authorized", table(("run", "SHA-256 of its lock"), hashes))
        yield ""


def _rows(report: Report, links: Links) -> Iterator[tuple[str, ...]]:
    for run in report.runs:
        what = _ACTIONS[run.action].format(attempt=run.attempt)
        if run.why:
            what += f": {shown(run.why)}"
        lock = run.plan.lock if run.plan else None
        yield (
            links.file(run.file, text=f"{run.tenant}/{run.name}"),
            what,
            code(lock.run_id) if lock else "",
            code(lock.run.environment) if lock else "",
            _approvals(run, report.before.admins),
        )


def _approvals(run: Run, admins: Sequence[Person]) -> str:
    if run.action == "cancel":
        return f"none: it is enough that somebody of {code(run.tenant)} merges"
    if run.action not in {"start", "again"} or run.needs is None:
        return ""
    return "<br>**and** ".join([_tenants(run.needs, run.tenant), *_admins(run.needs, admins)])


def _tenants(needs: Needs, tenant: str) -> str:
    if not needs.approvers:
        return f"**nobody can approve**: {code(tenant)} has no approver but the author on the target branch"
    names = _names(needs.approvers)
    if needs.impossible:
        return f"**too few approvers**: {needs.required} needed, the author aside there is {names}"
    return names if len(needs.approvers) == 1 else f"{needs.required} of {names}"


def _admins(needs: Needs, admins: Sequence[Person]) -> list[str]:
    if not needs.admin:
        return []
    return [f"one platform admin besides ({_names(admins)}): {'; '.join(shown(reason) for reason in needs.admin)}"]


def _names(people: Sequence[Person]) -> str:
    return ", ".join(shown(person.username) for person in people)


def outside(report: Report, links: Links) -> Iterator[str]:
    """Changed files that a tenant's people cannot change alone."""
    admins = _names(report.before.admins) or "nobody is named in environments/platform.yaml"
    yield f"A platform admin ({admins}) has to approve changes outside the author's tenants:"
    yield ""
    kinds = {change.path: change.kind for change in report.changes}
    rows = [
        (shown(path) if kinds[path] == "removed" else links.file(path), kinds[path], shown(why))
        for path, why in report.outside
    ]
    yield from table(("file", "", "why"), rows[:_MOST_FILES])
    yield ""
    if len(rows) > _MOST_FILES:
        yield f"{len(rows) - _MOST_FILES:,} more files."
        yield ""


def quota(totals: Sequence[Total]) -> Iterator[str]:
    """What the tenants' quotas are after the new runs, all of them together."""
    rows = [_share(total, index) for total in totals for index in range(len(total.shares))]
    yield from table(("quota", "before", "after this merge request", "allowed", ""), rows)
    yield ""


def _share(total: Total, index: int) -> tuple[str, ...]:
    share = total.shares[index]
    where = f"{code(total.tenant)} in {code(total.environment)}"
    new = f" (+{share.taken:,.1f}, {count(total.runs, 'run')})" if total.runs > 1 else f" (+{share.taken:,.1f})"
    state = _exceeded(share.unit) if share.exceeded else "✅"
    return (
        f"{where}: {shown(share.name)}",
        f"{share.before:,.1f}",
        f"{share.after:,.1f}{new}",
        f"{share.allowed:,.1f} {share.unit}",
        state,
    )


def _exceeded(unit: str) -> str:
    return {
        "GPUs": "⏳ they queue for each other",
        "GPU-hours": "⚠️ a platform admin has to approve",
        "GiB": "⚠️ runs may end with a full disk: ask a platform admin for space, or remove old results",
    }[unit]
