"""List every model that was trained on a dataset; with --reason, recall it: none of them is promoted until that is lifted.

  ft recall team-a/support-pl                                    # what would be recalled, and what is served of it
  ft recall team-a/support-pl --reason "Consent withdrawn" --by anna.nowak

--reason writes recalls/<tenant>/<dataset>.yaml with every content that the dataset ever had in a run, and the state `open` of
each model; merged, it holds at once. To lift it, or to clear or withdraw a model, edit the file: what weakens it takes the
tenant's approvers. Exit code 1: one of the models is served.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tools.errors import UsageError
from tools.expand.yamltext import dump
from tools.formats.audit import Audit
from tools.formats.recall import Recall, RecalledModel
from tools.models.listing import table
from tools.models.served import ServedModel, served
from tools.recalls import Recalls
from tools.repository import Repository
from tools.rules.served import registered
from tools.writing import write_text

_HEADER = """\
# yaml-language-server: $schema=../../schemas/recall.schema.json
# Data that no model may be promoted from. Owner: {tenant}. It holds once it is merged. To weaken it takes the tenant's
# approvers: a model's `state: cleared` or `withdrawn` (with `note`), or `lifted: {{by, at, reason}}`. Check: ft validate recalls
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft recall`."""
    parser.add_argument("dataset", metavar="TENANT/DATASET", help="for instance team-a/support-pl")
    parser.add_argument("--reason", metavar="TEXT", help="recall it, and why")
    parser.add_argument("--by", metavar="LOGIN", help="GitLab user name of who answers for the recall")
    parser.add_argument(
        "--format", choices=("text", "json", "markdown"), default="text", help="how it is printed (text)"
    )
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository; the one around here when omitted")


def run(args: argparse.Namespace) -> int:
    """Print the models and, with --reason, write the recall; 1 when one is served.

    Raises:
        UsageError: nothing was ever trained on such a dataset, and there is none.
    """
    repository = Repository.find(args.repo)
    tenant, _, name = args.dataset.partition("/")
    if args.reason is not None and not args.by:
        raise UsageError("--reason needs --by LOGIN: who answers for the recall")
    file = f"recalls/{tenant}/{name}.yaml"
    known, recalls = repository.optional(file, Recall), Recalls(repository)
    hashes = _hashes(repository, recalls, tenant, name) | set(known.sha256 if known is not None else ())
    if not hashes:
        raise UsageError(
            f"{args.dataset!r} is no dataset that {tenant} has or had; name one of tenants/{tenant}/datasets/"
        )
    models = recalls.trained_on(tenant, hashes)
    running = {(each.lock.content.environment, each.lock.content.served.run_id): each for each in served(repository)}
    rows = [_row(record, known, running) for record in models]
    _print(rows, args.format)
    if args.reason is not None:
        try:
            recall = _recall(known, args, hashes, models)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise UsageError(f"--{'by' if first['loc'][0] == 'opened_by' else 'reason'}: {first['msg']}") from None
        _write(repository, file, recall)
    return int(any(row["served"] for row in rows))


def _hashes(repository: Repository, recalls: Recalls, tenant: str, name: str) -> set[str]:
    """Every content that the dataset has or had in a run."""
    manifest = repository.dataset(tenant, name)
    used = {r.hashes.datasets[name] for r in recalls.all_records() if r.tenant == tenant and name in r.hashes.datasets}
    return used | ({manifest.sha256} if manifest is not None else set())


def _row(record: Audit, known: Recall | None, running: dict[tuple[str, str], ServedModel]) -> dict[str, Any]:
    made = registered(record)
    place = (record.environment, record.run_id)
    return {
        "environment": record.environment,
        "run_id": record.run_id,
        "model": made.name if made is not None else None,
        "version": made.version if made is not None else None,
        "state": known.state_of(*place) if known is not None else "not recalled",
        "served": place in running,
    }


def _print(rows: list[dict[str, Any]], form: str) -> None:
    if form == "json":
        print(json.dumps(rows, indent=2))
        return
    shown = [["" if value is None else _word(value) for value in row.values()] for row in rows]
    head = ("environment", "run", "model", "version", "state", "served")
    sys.stdout.write(table(head, shown, form) if rows else "no model was trained on it\n")


def _word(value: object) -> str:
    return {"True": "SERVED", "False": ""}.get(str(value), str(value))


def _recall(known: Recall | None, args: argparse.Namespace, hashes: set[str], models: list[Audit]) -> Recall:
    """The recall with every model; what was decided about one stays."""
    listed = {(each.environment, each.run_id): each for each in (known.models if known is not None else [])}
    for record in models:
        made = registered(record)
        fresh = RecalledModel(
            environment=record.environment, run_id=record.run_id, model=made.name if made else None, state="open"
        )
        listed.setdefault((record.environment, record.run_id), fresh)
    return Recall(
        version=1,
        reason=args.reason,
        opened_by=args.by,
        opened_at=known.opened_at if known is not None else datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        sha256=sorted(hashes),
        models=[listed[place] for place in sorted(listed)],
    )


def _write(repository: Repository, file: str, recall: Recall) -> None:
    path = repository.root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    body = dump(recall.model_dump(mode="json", exclude_none=True))
    write_text(path, _HEADER.format(tenant=file.split("/")[1]) + body)
    branch = file.removesuffix(".yaml").replace("/", "-")
    print(
        f"wrote {file}: {len(recall.models)} model(s)\nNext: open a merge request with it and merge it; it holds at once:\n"
        f"  git switch -c {branch} && git add {file} && git commit -m '{file}: recall' && git push -u origin {branch}\n"
        "What is served goes on answering: promote another version (`ft promote`), or remove its file below serving/."
    )
