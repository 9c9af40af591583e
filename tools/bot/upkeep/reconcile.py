"""One round of repair for one environment: what events missed is done, and what has ended is recorded.

Each step stands alone: a fault of one is noted and the others are done all the same, and the next round begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tools.bot.promote import aliases
from tools.bot.promote.proposing import Proposer
from tools.bot.upkeep import git, images, repairs, retire, watching
from tools.bot.upkeep.argocd import ArgoCD
from tools.bot.upkeep.outcomes import Recorder, cancelled, stamp
from tools.bot.upkeep.repairs import Repair
from tools.bot.upkeep.surroundings import Surroundings
from tools.bot.upkeep.watching import Sight
from tools.cluster.faults import ClusterFault
from tools.cluster.tracking import Away
from tools.errors import FtError, UsageError
from tools.expand import audit
from tools.formats.audit import Audit
from tools.formats.environment import Environment
from tools.models import served as models
from tools.models.versions import Versions
from tools.repository import Repository

_NAMED = 3
# How long after a cancellation MLflow is asked for what the run did: the runner has ended and delivered, and is not asked for ever.
_DELIVERED, _ASKED = timedelta(minutes=10), timedelta(days=1)
# Words of a record's text that say that something is missing.
_OPEN = ("outcome: null", "measured: null")


@dataclass
class Report:
    """What a round did and what it could not do, in sentences."""

    done: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def reconcile(around: Surroundings, environment: str) -> Report:
    """Authorize what was merged, record outcomes, publish what was forgotten, end what is cancelled, propose images and models."""
    round_ = _Round(around, environment)
    for step in (round_.authorize, round_.record, round_.ask_argocd, round_.propose_image, round_.serve):
        try:
            step()
        except FtError as fault:
            round_.report.faults.append(str(fault))
    return round_.report


def retire_finished(around: Surroundings, environment: str) -> Report:
    """Remove the overlays whose time has come."""
    report = Report()

    def plan(repository: Repository) -> git.Planned | None:
        settings = repository.environment(environment)
        if settings is None:
            raise UsageError(f"environments/{environment}.yaml is missing or not valid; run `ft validate environments`")
        authorized = watching.in_git(repository, environment)
        names = {run.lock.run.tenant for run in authorized}
        tenants = {name: tenant for name in names if (tenant := repository.tenant(name)) is not None}
        runs = retire.due(authorized, settings, tenants, around.now())
        if not runs:
            return None
        made = retire.retirement(runs, around.now())
        retired = _names(made.runs)
        report.done[:] = [f"retired {retired}"]
        return git.Planned(made.changes, f"retire {retired} ({environment})", made.merge_requests, deploys=True)

    try:
        written = git.write(around, environment, plan)
    except FtError as fault:
        return Report(faults=[str(fault)])
    if written.commit is None:
        report.done.clear()
    report.faults += [f"retirement waits: {obstacle}" for obstacle in written.obstacles]
    return report


@dataclass
class _Round:
    """One look at an environment and what follows from it.

    settings: the environment as main has it. repairs: what is to be asked of Argo CD.
    """

    around: Surroundings
    environment: str
    report: Report = field(default_factory=Report)
    settings: Environment | None = None
    repairs: list[Repair] = field(default_factory=list)

    def authorize(self) -> None:
        """Give a verdict to what events missed; the authorization says itself what came of it."""
        self.around.authorize(self.environment)

    def record(self) -> None:
        """Bring the audit records up to what cluster and MLflow say."""
        changed: list[Audit] = []
        faults: list[str] = []

        def plan(repository: Repository) -> git.Planned | None:
            sight = self._look(repository)
            recorder = Recorder(self.around.now(), self.around.tracking_uri)
            seen = (recorder.updated(run.record, run.status) for run in sight.runs if run.status is not None)
            changed[:] = [record for record in seen if record is not None]
            changed.extend(_forgotten(repository, self.environment, self.around.now()))
            changed.extend(self._told(repository, recorder, {record.file for record in changed}))
            faults[:] = [*sight.notes, *([sight.unreachable] if sight.unreachable else [])]
            names = _names([record.run_id for record in changed])
            return git.Planned(
                {record.file: audit.content(record) for record in changed},
                f"record the outcome of {names} ({self.environment})",
                [record.last.authorized.merge_request for record in changed],
                deploys=False,
            )

        written = git.write(self.around, self.environment, plan)
        if written.commit is not None:
            self.report.done += [_outcome(record) for record in changed]
        self.report.faults += faults

    def _told(self, repository: Repository, recorder: Recorder, already: set[str]) -> Iterator[Audit]:
        """Records of lately cancelled runs with what MLflow knows of them, once the runner has delivered it."""
        if self.settings is None:
            return
        for record in watching.records(repository, self.environment, "result: cancelled"):
            ended = record.last.outcome
            since = self.around.now() - datetime.fromisoformat(ended.at) if ended is not None else None
            if record.file in already or since is None or not _DELIVERED <= since <= _ASKED:
                continue
            try:
                found = recorder.told_of_cancelled(record, self.settings.mlflow.tracking_uri)
            except Away:
                return
            if found is not None:
                yield found

    def ask_argocd(self) -> None:
        """Sync what was never published, end what is cancelled."""
        for repair in self.repairs:
            try:
                self.report.done += _repaired(self.around.argocd, self.environment, repair)
            except FtError as fault:
                self.report.faults.append(f"{repair.why}: {fault}")

    def propose_image(self) -> None:
        """Open a merge request for the image that the last build on main made."""
        if self.settings is not None:
            made = images.propose(
                self.around.forge, self.around.mirror, {self.environment: self.settings}, self.around.provenance_key
            )
            self.report.done += [f"opened !{request.iid}: {request.title}" for request in made]

    def serve(self) -> None:
        """Propose what passed its evaluation, move MLflow's alias behind what is served, and name what is recalled."""
        if self.settings is None or self.settings.serving is None:
            return
        registry = Versions(self.around.tracking_uri or self.settings.mlflow.tracking_uri)
        with git.checkout(self.around.mirror) as (base, repository):
            proposer = Proposer(self.around.forge, self.around.mirror, repository, base, registry)
            self.report.done += proposer.propose(self.environment)
            self.report.faults += models.recalled_but_served(repository, self.environment)
            self.report.done += aliases.align(repository, self.environment, registry)

    def _look(self, repository: Repository) -> Sight:
        """At the runs of which something can still be learnt, and at what is to be asked about them and the cancelled."""
        runs = [run for run in watching.in_git(repository, self.environment) if not watching.settled(run)]
        cluster = self.around.cluster(self.environment) if runs else ClusterFault("nothing runs")
        sight = watching.look_at(repository, runs, cluster, self.around.tracking_uri)
        now, self.settings = self.around.now(), repository.environment(self.environment)
        self.repairs = list(repairs.unpublished(sight.runs, now))
        if self.settings is not None:
            gone = list(watching.records(repository, self.environment, "result: cancelled"))
            there = watching.overlays(repository, self.environment)
            self.repairs += repairs.cancelled(gone, there, self.settings, now)
        return sight


def _forgotten(repository: Repository, environment: str, now: datetime) -> Iterator[Audit]:
    """Records of cancelled runs that do not say yet how they ended, or what they took."""
    found = {record.file: record for words in _OPEN for record in watching.records(repository, environment, words)}
    for record in found.values():
        folder = f"overlays/{environment}/{record.tenant}/{record.experiment}"
        if not (repository.root / folder).exists() and (ended := cancelled(record, stamp(now))) != record:
            yield ended


def _outcome(record: Audit) -> str:
    outcome = record.last.outcome
    return f"recorded {record.run_id}: {outcome.result if outcome is not None else 'running'}"


def _repaired(argocd: Callable[[str, str], ArgoCD], environment: str, repair: Repair) -> list[str]:
    """Do it; nothing is said where it needed no doing."""
    server = argocd(environment, repair.tenant)
    if repair.action == "sync":
        return [f"{repair.why}: asked Argo CD to sync {repair.application}"] if server.sync(repair.application) else []
    application = server.application(repair.application)
    if application is None or application.phase != "Running":
        return []
    done = server.terminate(repair.application)
    return [f"{repair.why}: ended the operation of {repair.application}"] if done else []


def _names(runs: Sequence[str]) -> str:
    """For a commit's subject."""
    more = f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else ""
    return ", ".join(runs[:_NAMED]) + more
