"""Add a tenant: its tenant.yaml, which platform admins then review and merge.

`ft tenant add NAME --members A:1,B:2 --approvers C:3 --models M --gpus N` writes tenants/NAME/tenant.yaml, commented and valid, with
user and group ids that no other tenant has, and says what else a new tenant needs. An existing tenant is never overwritten.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.errors import UsageError

if TYPE_CHECKING:
    from tools.repository import Repository

_HOURS = 24 * 30
_NEXT = """\
next:
  1. read {file}, then: ft validate tenants/{name} && ft expand --tenants
  2. on the storage, for each export of {name}, folders that its pods may write to (pods run as {uid}:{gid}):
     install -d -o {uid} -g {gid} -m 2770 EXPORT/data EXPORT/output EXPORT/models EXPORT/models/merged-model
  3. its MLflow credential, never in git; External Secrets or Sealed Secrets do the same:
     kubectl -n {namespace} create secret generic mlflow-credentials \\
       --from-literal=username={name} --from-literal=password=...
  4. its people in the group that environments/{environment}.yaml names (tenant_group), then a merge request"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-command `add`."""
    add = parser.add_subparsers(dest="action", required=True, metavar="add").add_parser(
        "add", help="write tenants/NAME/tenant.yaml"
    )
    add.add_argument("name", metavar="NAME", help="the tenant: a DNS label")
    add.add_argument(
        "--members",
        required=True,
        metavar="A:1,B:2",
        type=_people,
        help="GitLab user names, each with its numeric user id",
    )
    add.add_argument(
        "--approvers", required=True, metavar="C:3,D:4", type=_people, help="who may authorize experiments, likewise"
    )
    add.add_argument("--required-approvals", type=int, default=1, metavar="N", help="approvals a run takes (1)")
    add.add_argument("--models", required=True, metavar="M,N", type=_names, help="base models of the catalogue")
    add.add_argument("--gpus", required=True, type=int, metavar="N", help="GPUs in use at once, in each environment")
    add.add_argument("--borrow-gpus", type=int, metavar="N", help="idle GPUs of others besides, with Kueue (none)")
    add.add_argument("--gpu-hours", type=int, metavar="N", help="a month (default: all its GPUs, day and night)")
    add.add_argument("--storage-gib", type=int, default=200, metavar="N", help="size of its storage (200)")
    add.add_argument("--time-limit", default="2d", metavar="T", help="longest run, such as 8h or 2d (2d)")
    add.add_argument(
        "--environment", metavar="E", action="append", help="where it may run; may be given again (default: dev)"
    )
    add.add_argument("--namespace", metavar="N", help="Kubernetes namespace (default: NAME-training)")
    add.add_argument("--description", metavar="TEXT", help="who the team is")
    add.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Write the file and say what to do next."""
    from tools.formats.names import refuse_label
    from tools.repository import Repository
    from tools.tenant_file import free_id, tenant_text

    repository = Repository.find(args.repo)
    refuse_label(args.name, "NAME")
    file = f"tenants/{args.name}/tenant.yaml"
    if (repository.root / file).exists() or (repository.root / file).is_symlink():
        raise UsageError(f"{file} exists; allowed: a tenant that is new; edit that file, or give another NAME")
    fields = _fields(args, repository, free_id(repository))
    _write(repository, file, tenant_text(args.name, fields))
    namespace = args.namespace or f"{args.name}-training"
    print(f"wrote {file}; it is valid")
    environment = fields["environments"][0]
    print(_NEXT.format(file=file, namespace=namespace, environment=environment, name=args.name, **_ids(fields)))
    return 0


def _names(value: str) -> list[str]:
    names = [name.strip() for name in value.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{value!r} has an empty name; separate names by one comma")
    return names


def _people(value: str) -> list[dict[str, Any]]:
    """People as `name:id`; a name can be taken by somebody else later, the id cannot."""
    return [_person(entry) for entry in _names(value)]


def _person(entry: str) -> dict[str, Any]:
    username, _, number = entry.partition(":")
    if not (number.isascii() and number.isdigit()):
        raise argparse.ArgumentTypeError(
            f"{entry!r} has no user id; allowed: NAME:ID, for instance anna.nowak:101; GitLab shows the id in the"
            " profile's menu, and /api/v4/users?username=NAME has it"
        )
    return {"username": username, "id": int(number)}


def _fields(args: argparse.Namespace, repository: Repository, free: int) -> dict[str, Any]:
    """The tenant as it is to be written; what the format sets by itself is written out where people look for it."""
    from tools.importing.catalogue import chosen

    models = repository.names("catalog/models")
    environments = [name for name in repository.names("environments") if name != "platform"]
    hours = args.gpus * _HOURS if args.gpu_hours is None else args.gpu_hours
    borrowed = {"borrow_gpus": args.borrow_gpus} if args.borrow_gpus else {}
    return {
        "version": 1,
        "description": args.description or f"Team {args.name}",
        "members": args.members,
        "approvers": args.approvers,
        "required_approvals": args.required_approvals,
        "namespace": args.namespace,
        "environments": [
            chosen("environment", name, environments, "add environments/<name>.yaml first")
            for name in args.environment or ["dev"]
        ],
        "models": [chosen("model", name, models, "`ft model add` adds one") for name in args.models],
        "priorities": ["low", "normal"],
        "quota": {
            "gpus": args.gpus,
            **borrowed,
            "gpu_hours_per_month": hours,
            "storage_gib": args.storage_gib,
            "time_limit": args.time_limit,
        },
        "uid": free,
        "gid": free,
    }


def _ids(fields: dict[str, Any]) -> dict[str, int]:
    return {"uid": fields["uid"], "gid": fields["gid"]}


def _write(repository: Repository, file: str, text: str) -> None:
    """Write the file, or leave no trace of it where it is not valid."""
    from tools.validate import validate
    from tools.writing import write_text

    path = repository.root / file
    new_folder = not path.parent.exists()
    write_text(path, text)
    result = validate(repository, [file])
    if result.failed:
        path.unlink()
        if new_folder:
            path.parent.rmdir()
        raise UsageError(f"no tenant was added: {'; '.join(finding.message for finding in result.findings)}")
