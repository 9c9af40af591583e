"""Turn a LLaMA Factory YAML into an experiment and say what became of each key that moved.

Takes what LLaMA Board exports (training_args.yaml, or llamaboard_config.yaml of its form) and configs in the style of the
project's examples. Model and data are found in the catalogue by name; where none fits, --model and --dataset say it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.findings import Finding, quote
from tools.formats.tenant import Tenant
from tools.importing import board, catalogue
from tools.importing.convert import convert
from tools.importing.draft import Draft
from tools.importing.naming import Known
from tools.importing.text import experiment_text
from tools.importing.write import write
from tools.repository import Repository
from tools.rules.train import interpolated
from tools.yamlsource import Document, Position, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft import`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the LLaMA Factory YAML")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="experiments/<tenant>/<name>.yaml")
    parser.add_argument("--model", metavar="M", help="base model, where FILE's fits none of the catalogue")
    parser.add_argument("--dataset", metavar="D", action="append", help="data instead of FILE's; may be given again")
    parser.add_argument(
        "--owner", metavar="LOGIN", help="who answers for it (default: the member that git knows, else the first)"
    )
    parser.add_argument("--description", metavar="TEXT", help="what the model is for")
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="GPUs; 0 trains on the CPU (default: 1)")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Import; 0 when the experiment is written, 1 when FILE cannot be one."""
    repository = Repository.find(args.repo)
    to = args.to if args.to.is_absolute() else repository.root / args.to
    file, tenant_name, _ = catalogue.target(repository, to)
    tenant = catalogue.tenant_of(repository, tenant_name)
    known = _known(repository, tenant_name, tenant, args.model, args.dataset or [])
    owner, guess = catalogue.owner(repository, tenant, args.owner)
    document = load(args.file, str(args.file))
    findings = [*document.findings, *_faults(document)]
    if findings:
        return _refuse(findings)
    try:
        fields, source = _source(document.data)
    except ValueError as error:
        return _refuse([document.finding((), "import", str(error))])
    draft = convert(source, known)
    for (line, column), key, text in sorted((_place(document, fields, key), key, text) for key, text in draft.notices):
        print(f"{document.file}:{line}:{column}: {quote(key)[1:-1]}: {text}")
    if guess:
        print(guess)
    if draft.missing:
        return _refuse([_missing(document, fields, key, text) for key, text in draft.missing])
    about = args.description or f"Imported from {args.file.name}"[:500]
    return write(repository, file, _text(draft, file, owner, about, args.gpus, args.file.name))


def _known(
    repository: Repository, tenant_name: str, tenant: Tenant, model: str | None, datasets: Sequence[str]
) -> Known:
    models = [name for name in tenant.models if repository.model(name) is not None]
    names = repository.names(f"tenants/{tenant_name}/datasets")
    if model is not None:
        catalogue.chosen("model", model, models, "a platform admin allows it in tenant.yaml")
    for dataset in datasets:
        catalogue.chosen("dataset", dataset, names, "`ft dataset add` adds one")
    return Known(repository, models, names, model, datasets)


def _faults(document: Document) -> list[Finding]:
    if not isinstance(document.data, dict):
        kind = "an empty file" if document.data is None else f"a {type(document.data).__name__}"
        return (
            []
            if document.findings
            else [document.finding((), "import", kind, "a mapping of LLaMA Factory's arguments")]
        )
    return [
        document.finding((key,), "interpolation", f"{quote(key)} holds ${{...}}", "plain values", "write the value out")
        for key, value in document.data.items()
        if interpolated(key) or interpolated(value)
    ]


def _source(data: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """(argument -> key of the file, argument -> value)."""
    if not board.is_board(data):
        return {key: key for key in data}, dict(data)
    flat = board.flatten(data)
    return {key: field for key, (field, _) in flat.items()}, {key: value for key, (_, value) in flat.items()}


def _text(draft: Draft, file: str, owner: str, description: str, gpus: int, origin: str) -> str:
    fields = {
        "version": 1,
        "description": description,
        "owner": owner,
        **draft.fields,
        "train": draft.train,
        "resources": {"gpus": gpus, "time_limit": "8h"},
    }
    title = origin if origin.isprintable() else "a LLaMA Factory config"
    header = [
        f"One fine-tuning run, imported from {title}. {owner} owns it.",
        f"Check it with `ft validate {file}`, see what it needs with `ft plan {file}`, then open a merge request.",
    ]
    return experiment_text(fields, header)


def _place(document: Document, fields: Mapping[str, str], key: str) -> Position:
    return document.key_at((fields.get(key, key),))


def _missing(document: Document, fields: Mapping[str, str], key: str, text: str) -> Finding:
    return document.finding((fields.get(key, key),), "import", text, key=True)


def _refuse(findings: Sequence[Finding]) -> int:
    for finding in findings:
        print(f"{finding.place}: {finding.rule}: {finding.message}")
    print("nothing was written")
    return 1
