"""What `ft run` needs before it starts: the rendered Jobs, and the parts of this machine that replace the cluster's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tools.errors import ToolFault, UsageError
from tools.formats.lock import Lock
from tools.localrun.container import Machine
from tools.localrun.jobs import Rendered, is_hook, order
from tools.render.documents import read
from tools.render.kustomize import Kustomize
from tools.repository import Repository

RUNNER_PYTHON = Path(".venv-runner/bin/python")


def rendered(repository: Repository, overlay: str, *, training: bool, publish: bool) -> Rendered:
    """The overlay's Jobs, those of the sync and those after it as asked for.

    Raises:
        ToolFault: kustomize cannot build the overlay.
        UsageError: no Job is left.
    """
    [built] = Kustomize.find().build(repository.root, [overlay])
    if built.fault is not None:
        raise ToolFault(f"{overlay} does not build: {built.fault}; see `ft expand --check`")
    every = order(read(built.manifests))
    jobs = [job for job in every.jobs if (publish if is_hook(job) else training)]
    if not jobs:
        raise UsageError(f"{overlay} publishes nothing: its experiment has no `publish:`; its adapter is the result")
    return replace(every, jobs=jobs)


def machine(
    repository: Repository, lock: Lock, storage: Path | None, tracking_uri: str | None, python: Path | None
) -> Machine:
    """This machine's parts, those given or the defaults.

    Raises:
        ToolFault: there is no Python to run the runner with.
    """
    # Not resolved: a virtual environment's python is a link, and what it leads to has none of its packages.
    interpreter = python.absolute() if python else repository.root / RUNNER_PYTHON
    if not interpreter.is_file():
        raise ToolFault(f"{interpreter} is not there; run `make setup-runner`, or give --runner-python FILE")
    default = repository.root / ".local" / lock.run.environment / lock.run.namespace
    folder = (storage or default).resolve()
    if " " in str(folder):
        raise UsageError(
            f"{folder} has a space in it, which LLaMA Factory's command line cannot take; give another --storage"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return Machine(interpreter, repository.root, folder, tracking_uri or f"sqlite:///{folder}/mlflow.db")
