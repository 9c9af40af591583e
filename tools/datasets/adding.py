"""`ft dataset add`: check a file, count its tokens, write its manifest, and put it onto the storage if asked to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.datasets.check import Report, check
from tools.datasets.detect import Choice
from tools.datasets.manifest import as_yaml, manifest, relying_runs
from tools.datasets.source import EXTENSIONS
from tools.datasets.store import DATA, data_file, holds, model_folder
from tools.datasets.tokens import TokenCounter
from tools.errors import UsageError
from tools.formats.dataset import Dataset, TokenLengths
from tools.formats.names import refuse_label, refuse_path
from tools.llamafactory.table import templates
from tools.repository import Repository
from tools.writing import copy, write_text


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for. path: below data/training-datasets/ of the storage; None: chosen here."""

    file: Path
    tenant: str
    name: str
    description: str | None
    model: str | None
    storage: Path | None
    path: str | None
    copy: bool
    replace: bool

    @property
    def manifest(self) -> str:
        """The manifest's file in the repository."""
        return f"tenants/{self.tenant}/datasets/{self.name}.yaml"


def add(repository: Repository, request: Request, choice: Choice, show: Callable[[Report], None]) -> bool:
    """Do what is asked; False, with nothing written, when the file has errors. `show` prints the report.

    Raises:
        UsageError: the request cannot be fulfilled, or a run relies on the dataset as it is.
        ToolFault: tokenizer or disk fail.
    """
    _refuse_bad_request(repository, request)
    path = _target(request)
    counter = _counter(repository, request)
    report = check(request.file, choice, counter.take if counter else None)
    show(report)
    if report.errors:
        return False
    tokens = counter.summary(request.model) if counter and request.model else None
    description = request.description or f"Rows of {request.file.name}"
    dataset = manifest(report, description=description, path=path, tokens=tokens)
    _show_tokens(tokens)
    _refuse_change_under_runs(repository, request, dataset)
    _store(request, dataset)
    write_text(repository.root / request.manifest, as_yaml(dataset, request.tenant, request.name))
    print(f"wrote {request.manifest}; next: commit it, and name it in an experiment's datasets")
    return True


def notice(text: str) -> None:
    """Tell the user something that is no fault."""
    print(f"notice: {text}", file=sys.stderr)


def _refuse_bad_request(repository: Repository, request: Request) -> None:
    refuse_label(request.name, "--name")
    tenants = sorted(path.parent.name for path in repository.root.glob("tenants/*/tenant.yaml"))
    if request.tenant not in tenants:
        raise UsageError(f"--tenant {request.tenant!r}; allowed: {', '.join(tenants)}; platform admins add tenants")
    if (repository.root / request.manifest).exists() and not request.replace:
        raise UsageError(f"{request.manifest} exists; choose another --name, or give --replace if no run relies on it")
    if request.copy and request.storage is None:
        raise UsageError("--copy needs --storage DIR: the tenant's storage, mounted here")
    if request.storage is not None and not request.storage.is_dir():
        raise UsageError(f"--storage {request.storage} is no folder; mount the tenant's storage there")


def _target(request: Request) -> str:
    """The file's path on the storage: as given, else where it lies there already, else the name with its extension."""
    path = request.path or f"{request.name}{request.file.suffix}"
    if request.path is None and request.storage is not None:
        data, file = (request.storage / DATA).resolve(), request.file.resolve()
        path = file.relative_to(data).as_posix() if file.is_relative_to(data) else path
    refuse_path(path, "--path")
    if not path.endswith(EXTENSIONS):
        raise UsageError(
            f"--path {path!r}; allowed: a name that ends in .json or .jsonl, by which LLaMA Factory reads it; rename it"
        )
    return path


def _counter(repository: Repository, request: Request) -> TokenCounter | None:
    """What counts tokens; None, with a notice, when the tokenizer is not at hand."""
    if request.model is None:
        notice("token lengths are left out; give --model NAME --storage DIR to have them counted")
        return None
    model = repository.model(request.model)
    if model is None:
        known = ", ".join(repository.names("catalog/models"))
        raise UsageError(f"--model {request.model!r}: no valid catalog/models/{request.model}.yaml; allowed: {known}")
    folder = model_folder(request.storage, model.path) if request.storage is not None else None
    if folder is None or not (folder / "tokenizer.json").is_file():
        missing = "--storage DIR is not given" if folder is None else f"there is no {folder / 'tokenizer.json'}"
        notice(f"token lengths are left out: {missing}; give the storage that holds models/base-model/{model.path}")
        return None
    template = templates().get(model.template)
    if template is None:
        raise UsageError(
            f"catalog/models/{request.model}.yaml: LLaMA Factory has no template {model.template!r}; run `ft validate` there"
        )
    return TokenCounter(folder, template)


def _show_tokens(tokens: TokenLengths | None) -> None:
    if tokens is not None:
        longest = f"half of the rows up to {tokens.p50}, 99 % up to {tokens.p99}, longest {tokens.max}"
        print(f"tokens ({tokens.model}): {tokens.total:,} in all, {longest}")


def _refuse_change_under_runs(repository: Repository, request: Request, dataset: Dataset) -> None:
    runs = relying_runs(repository, request.tenant, request.name, dataset)
    if runs:
        raise UsageError(
            f"{runs[0]}/run.yaml was locked with another content of {request.name} ({dataset.path}); allowed: the same "
            f"content; add this file with a new --name and --path, for instance {request.name}-2"
        )


def _store(request: Request, dataset: Dataset) -> None:
    """Put the file onto the storage, or say that it still has to get there."""
    if request.storage is None:
        notice(f"put the file at {DATA}/{dataset.path} of the tenant's storage before an experiment uses it")
        return
    target = data_file(request.storage, dataset.path)
    if holds(target, dataset.sha256):
        return
    if target.exists() and not request.replace:
        raise UsageError(f"{target} is another file; choose another --path, or give --replace if no run relies on it")
    if request.copy:
        copy(request.file, target, dataset.sha256)
        print(f"copied to {target}")
    else:
        notice(f"{target} is not there yet; give --copy, or put the file there before an experiment uses it")
