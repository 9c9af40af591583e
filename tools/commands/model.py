"""Add a base model to the catalogue: from a folder, or from a model that the platform itself registered.

`ft model add FOLDER --name N --source REPOSITORY@REVISION` reads config.json and the safetensors headers, hashes every file
and writes catalog/models/N.yaml. `ft model add --from-registry NAME@ALIAS --name N --tracking-uri URI --storage DIR` does so
for a published model, so that fine-tuning can go on from it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import UsageError

if TYPE_CHECKING:
    from tools.formats.model import Model
    from tools.repository import Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-command `add`."""
    add = parser.add_subparsers(dest="action", required=True, metavar="add").add_parser(
        "add", help="write catalog/models/N.yaml"
    )
    add.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="holds config.json and *.safetensors")
    add.add_argument("--name", required=True, help="the model's name in the catalogue: a DNS label")
    add.add_argument("--source", metavar="REPO@REVISION", help="where the files come from; a commit, never a branch")
    add.add_argument("--licence", help="SPDX id, for instance apache-2.0; from README.md when omitted")
    add.add_argument("--template", help="LLaMA Factory's chat template; known for many repositories")
    add.add_argument("--path", help="folder below models/base-model/ of the storage; FOLDER's or the model's name")
    add.add_argument("--description", help="what it is good for")
    add.add_argument(
        "--from-registry", metavar="NAME@ALIAS", help="a model that the platform registered, instead of FOLDER"
    )
    add.add_argument("--tracking-uri", metavar="URI", help="MLflow: http://..., https://... or sqlite:///FILE")
    add.add_argument("--storage", type=Path, metavar="DIR", help="the tenant's storage, mounted here")
    add.add_argument("--copy", action="store_true", help="put the published files into models/base-model/ as well")
    add.add_argument(
        "--replace", action="store_true", help="write over an existing entry; locked runs keep their hashes"
    )
    add.add_argument("--repo", type=Path, metavar="DIR", help="the repository; the one around the working directory")


def run(args: argparse.Namespace) -> int:
    """Write the entry."""
    from tools.models.entry import as_yaml
    from tools.repository import Repository
    from tools.writing import write_text

    repository = Repository(args.repo.resolve()) if args.repo else Repository.find()
    file = _file(args, repository)
    model = _from_registry(args, repository) if args.from_registry else _from_folder(args)
    write_text(repository.root / file, as_yaml(model, args.name))
    numbers = model.architecture
    print(
        f"wrote {file}: {numbers.model_type}, {numbers.parameters:,} parameters, {model.dtype}, template {model.template}"
    )
    print(f"next: list {args.name} under models in tenants/<tenant>/tenant.yaml, then `ft validate`")
    return 0


def _file(args: argparse.Namespace, repository: Repository) -> str:
    from tools.formats.names import refuse_label

    refuse_label(args.name, "--name")
    file = f"catalog/models/{args.name}.yaml"
    if (repository.root / file).exists() and not args.replace:
        raise UsageError(f"{file} exists; choose another --name, or give --replace")
    return file


def _from_folder(args: argparse.Namespace) -> Model:
    from tools.formats.names import refuse_path
    from tools.models import entry

    if args.folder is None or args.source is None:
        raise UsageError(
            "give FOLDER and --source REPO@REVISION, or --from-registry NAME@ALIAS; see `ft model add --help`"
        )
    path = args.path or args.folder.resolve().name
    refuse_path(path, "--path")
    origin = entry.source(args.source)
    return entry.describe(
        args.folder,
        path=path,
        origin=origin,
        licence=entry.licence_of(args.folder, args.licence),
        template=entry.template_of(origin.repository, args.template),
        description=args.description,
    )


def _from_registry(args: argparse.Namespace, repository: Repository) -> Model:
    from tools.datasets.store import BASE_MODELS, model_folder
    from tools.formats.names import refuse_path
    from tools.models import entry, registered

    if args.folder is not None or args.tracking_uri is None or args.storage is None:
        raise UsageError("--from-registry needs --tracking-uri URI and --storage DIR, and no FOLDER")
    path = args.path or args.name
    refuse_path(path, "--path")
    found = registered.find(repository, args.storage, args.tracking_uri, args.from_registry)
    target = model_folder(args.storage, path)
    place = found.folder if args.copy else target
    if not place.is_dir():
        raise UsageError(
            f"{target} is not there: jobs read base models from {BASE_MODELS}/ only; give --copy, or copy {found.folder} there"
        )
    model = entry.describe(
        place,
        path=path,
        origin=found.source,
        licence=args.licence or found.base.licence,
        template=entry.template_of(found.source.repository, args.template or found.base.template),
        description=args.description
        or f"{found.source.repository}, {found.source.revision}, made from {found.base_name}",
    )
    registered.refuse_other(model, found, place)
    if args.copy:
        registered.place_copy(found.folder, target)
    return model
