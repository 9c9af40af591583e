"""What merging does for one changed experiment: a run starts, goes on, stops, or nothing happens, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tools.bot.records import User
from tools.bot.report.changes import outside
from tools.bot.report.needs import Before, Needs, needs
from tools.errors import UsageError
from tools.expand import experiments
from tools.findings import Finding
from tools.formats.audit import Audit, path_of
from tools.plan.estimate import Plan
from tools.plan.planner import Planner
from tools.rules.kinds import place_of

Action = Literal["start", "again", "cancel", "nothing", "invalid"]


@dataclass(frozen=True, slots=True)
class Run:
    """One changed experiment.

    attempt: the one that its file asks for. why: what the action alone does not say. plan: None where it is not planned.
    """

    file: str
    tenant: str
    name: str
    action: Action
    attempt: int = 1
    why: str = ""
    plan: Plan | None = None
    needs: Needs | None = None

    def with_needs(self, before: Before, author: User, gpu_hours_this_month: float) -> Run:
        """The same, with who has to approve it."""
        if self.plan is None:
            return self
        found = needs(self.plan.lock.run, before, author, gpu_hours_this_month)
        foreign = outside(self.file, author, before.tenants)
        return replace(self, needs=replace(found, admin=(*found.admin, foreign)) if foreign else found)


def examine(planner: Planner, file: str, *, faulty: bool, plan: bool) -> tuple[Run, list[Finding]]:
    """The run of a changed experiment, and findings that only expanding it brings up.

    faulty: validation found errors. plan: False where there are too many to plan.
    """
    place = place_of(file)
    assert place is not None
    base = Run(file, place.tenant_name, place.name, "invalid")
    experiment = planner.repository.experiment(file).value
    if faulty or experiment is None:
        return replace(base, why="it has errors"), []
    base = replace(base, attempt=experiment.attempt)
    locks = planner.repository.locks.of(place.tenant_name, place.name)
    if experiment.state == "cancelled":
        return _cancelled(base, planner, stops=bool(locks)), []
    if not plan:
        return replace(base, why="too many experiments in one merge request to plan: split it"), []
    try:
        change = experiments.change(planner.repository, file)
        found = planner.plan(file)
    except UsageError as error:
        return replace(base, why=str(error)), []
    if isinstance(change, Finding):
        return replace(base, why="it has errors"), [change]
    return _what(replace(base, plan=found), planner, locks[0].attempt if locks else None), []


def _cancelled(run: Run, planner: Planner, *, stops: bool) -> Run:
    """Its plan names the run that is stopped."""
    if not stops:
        return replace(run, action="nothing", why="it is cancelled and has no run")
    try:
        return replace(run, action="cancel", plan=planner.plan(run.file))
    except UsageError:  # what it was made of is gone; it is stopped all the same
        return replace(run, action="cancel")


def _what(run: Run, planner: Planner, running: int | None) -> Run:
    """running: the attempt of its overlay, None without one."""
    assert run.plan is not None
    file = path_of(run.plan.lock)
    record = planner.repository.optional(file, Audit)
    if (planner.repository.root / file).exists() and (record is None or record.sha256 != run.plan.lock.sha256):
        return replace(run, action="invalid", why=f"{file} is no valid record of it; a platform admin restores it")
    outcome = record.last.outcome if record is not None else None
    if outcome is not None and outcome.result == "cancelled":
        why = "this run was cancelled, which is for good: copy the experiment to a file with a new name"
        return replace(run, action="nothing", why=why)
    recorded = record.last.attempt if record is not None else 0
    last = max(running or 0, recorded)
    if last == 0:
        return replace(run, action="start")
    if run.attempt > last:
        return replace(run, action="again")
    why = f"attempt {last} of this run is authorized already; `attempt: {last + 1}` runs it again"
    return replace(run, action="nothing", why=why)
