"""Write a commented experiment that validates.

What is not given is chosen: the only tenant, the next free name exp-NNN, the tenant's first model, its only dataset, the
owner from git's user.name or user.email (where that is no member, the first member, with a notice). An existing file is
never overwritten.
"""

from __future__ import annotations

import argparse
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.errors import UsageError
from tools.formats.dataset import Dataset
from tools.formats.experiment import Method, Stage
from tools.formats.tenant import Tenant
from tools.importing import catalogue, defaults
from tools.importing.text import EVALUATION, experiment_text
from tools.importing.write import write
from tools.repository import Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft new`."""
    parser.add_argument("--tenant", metavar="T", help="whose experiment (default: the only tenant)")
    parser.add_argument("--name", metavar="N", help="its name (default: the next free exp-NNN)")
    parser.add_argument("--model", metavar="M", help="base model (default: the first that the tenant may use)")
    parser.add_argument(
        "--dataset", metavar="D", action="append", help="data; may be given again (default: the only one)"
    )
    parser.add_argument("--stage", choices=typing.get_args(Stage), help="what is trained (default: by the data)")
    parser.add_argument("--method", choices=typing.get_args(Method), default="lora", help="how (default: lora)")
    parser.add_argument(
        "--owner", metavar="LOGIN", help="who answers for it (default: the member that git knows, else the first)"
    )
    parser.add_argument("--description", metavar="TEXT", help="what the model is for")
    parser.add_argument("--environment", metavar="E", help="where it runs (default: the tenant's first)")
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs; 0 trains on the CPU (default: 1)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="experiments/<tenant>/<name>.yaml instead of --tenant and --name; - prints it",
    )
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Write the experiment and say what to do next."""
    repository = Repository.find(args.repo)
    to_stdout = args.output == Path("-")
    if args.output is not None and not to_stdout:
        if args.tenant or args.name:
            raise UsageError("--output names tenant and experiment already; leave --tenant and --name out")
        path = args.output
    else:
        tenant_name = args.tenant or _only_tenant(repository)
        path = repository.root / f"experiments/{tenant_name}/{args.name or _free_name(repository, tenant_name)}.yaml"
    file, tenant_name, name = catalogue.target(repository, path)
    text = _text(repository, args, tenant_name, name)
    if to_stdout:
        print(text, end="")
        return 0
    return write(repository, file, text)


def _text(repository: Repository, args: argparse.Namespace, tenant_name: str, name: str) -> str:
    tenant = catalogue.tenant_of(repository, tenant_name)
    model_name = _model(repository, tenant, args.model)
    model = repository.model(model_name)
    assert model is not None
    names = _datasets(repository, tenant_name, args.dataset)
    datasets = [found for found in (repository.dataset(tenant_name, item) for item in names) if found is not None]
    stage: Stage = args.stage or defaults.stage_for(datasets)
    owner, guess = catalogue.owner(repository, tenant, args.owner)
    if guess:
        print(guess, file=sys.stderr)
    fields: dict[str, Any] = {
        "version": 1,
        "description": args.description or f"{stage} of {model_name} on {', '.join(names)}"[:500],
        "owner": owner,
        **_environment(tenant, args.environment),
        "model": model_name,
        "datasets": names,
        "stage": stage,
        "method": args.method,
        "train": defaults.train(args.method, stage, model, datasets),
        "performance": "auto",
        "resources": {"gpus": 1 if args.gpus is None else args.gpus, "time_limit": "8h"},
        "publish": {"model_name": name},
    }
    file = f"experiments/{tenant_name}/{name}.yaml"
    header = [
        f"Experiment {name} of {tenant_name}: one fine-tuning run. {owner} owns it.",
        f"Check it with `ft validate {file}`, see what it needs with `ft plan {file}`, then open a merge request.",
    ]
    return experiment_text(fields, header) + (EVALUATION if stage != "rm" else "")


def _only_tenant(repository: Repository) -> str:
    known = sorted(path.parent.name for path in repository.root.glob("tenants/*/tenant.yaml"))
    if len(known) == 1:
        return known[0]
    raise UsageError(f"which tenant? give --tenant with one of {', '.join(known) or 'none yet'}")


def _free_name(repository: Repository, tenant: str) -> str:
    taken = {path.stem for path in repository.root.glob(f"experiments/{tenant}/*")} | repository.locks.taken(tenant)
    number = 1
    while f"exp-{number:03d}" in taken:
        number += 1
    return f"exp-{number:03d}"


def _model(repository: Repository, tenant: Tenant, wished: str | None) -> str:
    known = [name for name in tenant.models if repository.model(name) is not None]
    if wished is not None:
        return catalogue.chosen("model", wished, known, "a platform admin allows it in tenant.yaml")
    if not known:
        raise UsageError(
            "none of the tenant's models is in the catalogue; a platform admin adds one with `ft model add`"
        )
    return known[0]


def _datasets(repository: Repository, tenant_name: str, wished: Sequence[str] | None) -> list[str]:
    folder = f"tenants/{tenant_name}/datasets"
    known = [
        name for name in repository.names(folder) if repository.optional(f"{folder}/{name}.yaml", Dataset) is not None
    ]
    if wished:
        return [catalogue.chosen("dataset", name, known, "`ft dataset add` adds one") for name in wished]
    if len(known) != 1:
        choice = f"give --dataset with one of {', '.join(known)}" if known else "`ft dataset add` adds the first"
        raise UsageError(f"which data? {tenant_name} has {len(known)} datasets; {choice}")
    return known


def _environment(tenant: Tenant, wished: str | None) -> dict[str, str]:
    if wished is None:
        return {}
    return {"environment": catalogue.chosen("environment", wished, tenant.environments, "a platform admin allows it")}
