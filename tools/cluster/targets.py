"""What the command line asks about, as git knows it: a run id, an experiment, an overlay, a tenant or everything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools.errors import UsageError
from tools.expand import locks
from tools.expand.overlay import LOCK_FILE
from tools.formats.lock import Lock
from tools.repository import Repository
from tools.rules.subject import Subject

_EXPERIMENT_PARTS = 3
_OVERLAY_PARTS = 4
_NAME_PARTS = 2


@dataclass(frozen=True, slots=True)
class Run:
    """One experiment in one environment, with its lock once it is authorized.

    state: the experiment's, `active` or `cancelled`; the lock's where the experiment is gone.
    """

    tenant: str
    experiment: str
    environment: str
    namespace: str
    state: str
    overlay: str | None = None
    lock: Lock | None = None

    @property
    def title(self) -> str:
        """`team-a/exp-001`."""
        return f"{self.tenant}/{self.experiment}"

    @property
    def application(self) -> str:
        """Name of its Argo CD Application."""
        return f"{self.tenant}.{self.experiment}"


def resolve(repository: Repository, target: str | None, environment: str | None) -> list[Run]:
    """The runs that a person means, sorted by name.

    Raises:
        UsageError: nothing is called that, or an environment has to be named.
    """
    if target is None:
        return _all(repository, None, environment or _only_environment(repository))
    if (repository.root / "tenants" / target).is_dir() and "/" not in target:
        return _all(repository, target, environment or _default_environment(repository, target))
    if (file := _experiment_file(repository, target)) is not None:
        return [_of_experiment(repository, file, environment)]
    if "/" in target:
        folder = locks.overlay_at(repository, Path(target))
        return [_of_overlay(repository, folder)]
    try:
        folder, _ = locks.by_run_id(repository, target)
    except UsageError as error:
        raise UsageError(f"{error}; one that was authorized a moment ago needs `git pull`") from error
    return [_of_overlay(repository, folder)]


def _all(repository: Repository, tenant: str | None, environment: str) -> list[Run]:
    """Every run of an environment, those that wait for their authorization included."""
    if not (repository.root / f"environments/{environment}.yaml").is_file():
        known = ", ".join(name for name in repository.names("environments") if name != "platform")
        raise UsageError(f"there is no environment {environment!r}; environments/ holds {known}")
    overlays = [folder for folder in locks.runs(repository) if folder.split("/")[1] == environment]
    found = {folder.partition(f"/{environment}/")[2]: _of_overlay(repository, folder) for folder in overlays}
    for file in repository.experiments():
        _, owner, base = file.split("/")
        key = f"{owner}/{base.removesuffix('.yaml')}"
        if tenant in (None, owner) and key not in found and _environment(repository, file) == environment:
            found[key] = _of_experiment(repository, file, environment)
    return [run for _, run in sorted(found.items()) if tenant in (None, run.tenant)]


def _experiment_file(repository: Repository, target: str) -> str | None:
    """`experiments/team-a/exp-001.yaml`, also for a path from the working folder and for `team-a/exp-001`."""
    parts = target.split("/")
    short = f"experiments/{target}.yaml"
    if len(parts) == _NAME_PARTS and (repository.root / short).is_file():
        return short
    if not target.endswith(".yaml"):
        return None
    file = target if (repository.root / target).is_file() else repository.relative(Path(target))
    parts = file.split("/")
    if len(parts) != _EXPERIMENT_PARTS or parts[0] != "experiments" or not (repository.root / file).is_file():
        raise UsageError(f"{target} is no experiment; give one such as experiments/team-a/exp-001.yaml")
    return file


def _of_experiment(repository: Repository, file: str, environment: str | None) -> Run:
    tenant, base = file.split("/")[1:]
    name = base.removesuffix(".yaml")
    overlays = [
        folder
        for folder in locks.of_experiment(repository, tenant, name)
        if environment in (None, folder.split("/")[1])
    ]
    if overlays:
        return _of_overlay(repository, overlays[0])
    return Run(
        tenant=tenant,
        experiment=name,
        environment=environment or _environment(repository, file),
        namespace=_namespace(repository, tenant),
        state=_state(repository, file) or "active",
    )


def _of_overlay(repository: Repository, folder: str) -> Run:
    lock = repository.lock(f"{folder}/{LOCK_FILE}")
    state = _state(repository, f"experiments/{lock.run.tenant}/{lock.run.name}.yaml")
    return Run(
        tenant=lock.run.tenant,
        experiment=lock.run.name,
        environment=lock.run.environment,
        namespace=lock.run.namespace,
        state=state or lock.state,
        overlay=folder,
        lock=lock,
    )


def _state(repository: Repository, file: str) -> str | None:
    if not (repository.root / file).is_file():
        return None
    experiment = repository.experiment(file).value
    return experiment.state if experiment is not None else None


def _namespace(repository: Repository, tenant: str) -> str:
    known = repository.tenant(tenant)
    return (known.namespace if known else None) or f"{tenant}-training"


def _environment(repository: Repository, file: str) -> str:
    tenant, base = file.split("/")[1:]
    subject = Subject(repository, repository.experiment(file), tenant, base.removesuffix(".yaml"))
    return subject.environment_name or "-"


def _default_environment(repository: Repository, tenant: str) -> str:
    known = repository.tenant(tenant)
    if known is None:
        raise UsageError(f"tenants/{tenant}/tenant.yaml is not valid; `ft validate tenants/{tenant}` says why")
    return known.environments[0]


def _only_environment(repository: Repository) -> str:
    known = [name for name in repository.names("environments") if name != "platform"]
    if len(known) == 1:
        return known[0]
    raise UsageError(
        f"there are several environments; give --env {'|'.join(known)}, a tenant, an experiment or a run id"
    )
