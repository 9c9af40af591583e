"""Check a file of training data, or add it to a tenant's datasets.

`ft dataset check FILE` reads JSON or JSON Lines (Alpaca, ShareGPT and OpenAI style rows, preference pairs, KTO, tool use,
plain text) and says for each row that LLaMA Factory would skip, change or die of, where it is and what to do.
`ft dataset add FILE --tenant T --name N` does the same and writes tenants/T/datasets/N.yaml.
"""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, get_args

if TYPE_CHECKING:
    from tools.datasets.check import Report
    from tools.datasets.detect import Choice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two sub-commands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|check")
    check = actions.add_parser("check", help="say which rows cannot be trained on")
    _add_reading(check)
    check.add_argument("--format", choices=("text", "json"), default="text", help="how to print the result")
    add = actions.add_parser("add", help="check the file and write its manifest")
    _add_reading(add)
    add.add_argument("--tenant", required=True, help="a folder of tenants/")
    add.add_argument("--name", required=True, help="the dataset's name: a DNS label")
    add.add_argument("--description", help="what the rows are and where they come from")
    add.add_argument("--model", help="whose tokenizer counts the rows' lengths: a name of catalog/models/")
    add.add_argument("--storage", type=Path, metavar="DIR", help="the tenant's storage, mounted here")
    add.add_argument("--path", help="the file below data/training-datasets/ of the storage; NAME with FILE's extension")
    add.add_argument("--copy", action="store_true", help="put FILE there")
    add.add_argument("--replace", action="store_true", help="write over an existing manifest that no run relies on")
    add.add_argument("--repo", type=Path, metavar="DIR", help="the repository; the one around the working directory")


def run(args: argparse.Namespace) -> int:
    """Do it; 1 when rows have errors."""
    from tools.datasets.detect import Choice

    choice = Choice(args.format_, dict(args.column), dict(args.tag))
    return _check(args, choice) if args.action == "check" else _add(args, choice)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON (an array of objects) or JSON Lines")
    formats = ("alpaca", "sharegpt", "openai")
    parser.add_argument("--as", dest="format_", choices=formats, help="the format, where it is not recognised")
    text = "LLaMA Factory's column and the file's own, for instance prompt=question; an empty NAME leaves it out"
    parser.add_argument("--column", type=_column, action="append", default=[], metavar="COLUMN=NAME", help=text)
    text = "LLaMA Factory's tag and the file's own word, for instance user_tag=customer"
    parser.add_argument("--tag", type=_tag, action="append", default=[], metavar="TAG=WORD", help=text)


def _column(text: str) -> tuple[str, str]:
    from tools.formats.dataset import Column

    return _pair(text, get_args(Column))


def _tag(text: str) -> tuple[str, str]:
    from tools.formats.dataset import Tag

    key, word = _pair(text, get_args(Tag))
    if not word:
        raise argparse.ArgumentTypeError(f"{text!r} names no word; allowed: {key}=WORD")
    return key, word


def _pair(text: str, known: Iterable[str]) -> tuple[str, str]:
    key, sign, name = text.partition("=")
    if not sign or key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: KEY=NAME with KEY one of {', '.join(known)}{hint}")
    return key, name


def _check(args: argparse.Namespace, choice: Choice) -> int:
    from tools.datasets.check import check

    report = check(args.file, choice)
    if args.format == "json":
        print(json.dumps(_as_json(report), ensure_ascii=False))
    else:
        _print(args.file, report)
    return 1 if report.errors else 0


def _as_json(report: Report) -> dict[str, object]:
    return {
        "format": report.layout.format if report.layout else None,
        "rows": report.rows,
        "empty": report.empty,
        "duplicates": report.duplicates,
        "errors": [error._asdict() for error in report.errors],
    }


def _print(file: Path, report: Report) -> None:
    for error in report.errors:
        print(f"{file}:{error.line}: row {error.row}: {error.message}")
    layout = report.layout
    columns = ", ".join(f"{column}={name}" for column, name in layout.columns.items()) if layout else ""
    format_ = f"{layout.format} ({columns})" if layout else "format unknown"
    counts = f"rows {report.rows}, without an answer {report.empty}, duplicates {report.duplicates}"
    print(f"{file}: {format_}: {counts}, errors {len(report.errors)}")
    if layout and layout.format == "openai":
        from tools.datasets.adding import notice

        notice("LLaMA Factory's openai reader adds the system text 'detailed thinking off' to rows without tools")


def _add(args: argparse.Namespace, choice: Choice) -> int:
    from tools.datasets.adding import Request, add
    from tools.repository import Repository

    repository = Repository(args.repo.resolve()) if args.repo else Repository.find()
    names = (field.name for field in fields(Request))
    request = Request(**{name: getattr(args, name) for name in names})
    return 0 if add(repository, request, choice, lambda report: _print(args.file, report)) else 1
