"""Every authorized run of an environment with its record and what cluster and MLflow say of it, as `ft status` asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tools.cluster import targets
from tools.cluster.client import Cluster
from tools.cluster.faults import ClusterFault
from tools.cluster.look import Status, look
from tools.expand import audit, locks
from tools.formats.audit import Audit, Outcome, path_of
from tools.formats.lock import Lock
from tools.repository import Repository


@dataclass(frozen=True, slots=True)
class Watched:
    """One run that has an overlay. `status` is None where the cluster was not asked."""

    folder: str
    lock: Lock
    record: Audit
    status: Status | None = None

    @property
    def application(self) -> str:
        """Name of its Argo CD Application."""
        return f"{self.lock.run.tenant}.{self.lock.run.name}"


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at an environment.

    notes: what could not be read, for the operator's log. unreachable: why nothing is known of the cluster.
    """

    runs: list[Watched]
    notes: list[str]
    unreachable: str | None


def in_git(repository: Repository, environment: str) -> list[Watched]:
    """The authorized runs of an environment with their records; others are `ft expand --check`'s matter."""
    folders = [folder for folder in locks.runs(repository) if folder.split("/")[1] == environment]
    found = ((folder, locks.read(repository, folder)) for folder in folders)
    watched = []
    for folder, parsed in found:
        lock = parsed.value
        if lock is None or parsed.findings or lock.authorized is None:
            continue
        record = record_at(repository, path_of(lock))
        if record is not None and record.sha256 == lock.sha256:
            watched.append(Watched(folder, lock, record))
    return watched


def record_at(repository: Repository, file: str) -> Audit | None:
    """A valid record, None when there is none."""
    if not (repository.root / file).is_file():
        return None
    parsed = audit.read(repository, file)
    return parsed.value if not parsed.findings else None


def look_at(
    repository: Repository, runs: list[Watched], cluster: Cluster | ClusterFault, tracking_uri: str | None
) -> Sight:
    """Ask cluster and MLflow about runs; those that are over and fully recorded need not be among them.

    Raises:
        UsageError: the cluster is another environment's.
    """
    if not runs:
        return Sight([], [], None)
    wanted = [targets.resolve(repository, str(repository.root.resolve() / run.folder), None)[0] for run in runs]
    found = look(wanted, cluster, tracking_uri)
    seen = [Watched(run.folder, run.lock, run.record, status) for run, status in zip(runs, found.statuses, strict=True)]
    return Sight(seen, found.notes, found.unreachable)


def outcome(run: Watched) -> Outcome | None:
    """How the attempt that the overlay runs ended, None while nothing says that it did."""
    return next((entry.outcome for entry in run.record.attempts if entry.attempt == run.lock.attempt), None)


def settled(run: Watched) -> bool:
    """Whether nothing more can be learnt of a run: it is finished, measured and, where it publishes, registered."""
    known = outcome(run)
    if known is None or known.result != "finished" or known.measured is None:
        return False
    return run.lock.run.publish is None or known.registered is not None


def records(repository: Repository, environment: str, containing: str) -> Iterator[Audit]:
    """The records of an environment whose text has these words; thousands of others are not parsed."""
    root = repository.root
    for path in sorted((root / audit.FOLDER / environment).glob("*/*.yaml")):
        if path.is_symlink() or containing.encode() not in path.read_bytes():
            continue
        record = record_at(repository, path.relative_to(root).as_posix())
        if record is not None:
            yield record


def overlays(repository: Repository, environment: str) -> frozenset[str]:
    """`<tenant>/<name>` of every run's overlay in an environment."""
    prefix = f"overlays/{environment}/"
    return frozenset(folder.removeprefix(prefix) for folder in locks.runs(repository) if folder.startswith(prefix))
