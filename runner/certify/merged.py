"""What the merge leaves for the certificate; kept beside the staged model, so that a retry need not merge again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from runner.certify.certificate import Change
from runner.certify.changed import changes
from runner.completion import Completion
from runner.hashing import names_in, record
from runner.records import Record
from runner.storage import Paths
from tools.formats.base import RelativePath, Sha256
from tools.formats.model import File

NAME = "merged.json"


class Merged(Record):
    """What merged.json holds; the fields are those of certificate.json."""

    version: Literal[1]
    run_sha256: Sha256
    method: Literal["merge", "copy"]
    base: dict[RelativePath, Sha256]
    trained: dict[RelativePath, Sha256]
    result: dict[RelativePath, File]
    changes: dict[str, Change]
    untouched: int


def of_merge(paths: Paths, report: Any) -> Merged:
    """From the report of `runner.merge`, which hashed every file that it read and wrote."""
    return Merged(
        version=1,
        run_sha256=paths.lock.sha256,
        method="merge",
        base=report.base,
        trained=report.adapter,
        result=report.result,
        changes={
            name: Change.model_validate(
                {key: value for key, value in asdict(change).items() if key in Change.model_fields}
            )
            for name, change in sorted(report.changes.items())
        },
        untouched=report.untouched,
    )


def of_copy(paths: Paths, proof: Completion, model: Path) -> Merged:
    """Of a trained model that was copied: read again and compared with the base, byte by byte."""
    found, same = changes(paths.base_model, model)
    names = [name for name in paths.lock.run.model.files if (paths.base_model / name).is_file()]
    return Merged(
        version=1,
        run_sha256=paths.lock.sha256,
        method="copy",
        base={name: file.sha256 for name, file in record(paths.base_model, names).items()},
        trained={name: file.sha256 for name, file in proof.files.items()},
        result=record(model, names_in(model)),
        changes=found,
        untouched=same,
    )
