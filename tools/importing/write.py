"""Writes an experiment that does not exist yet and judges it as `ft validate` does."""

from __future__ import annotations

from tools.errors import UsageError
from tools.reporters import REPORTERS
from tools.repository import Repository
from tools.validate import validate


def write(repository: Repository, file: str, text: str) -> int:
    """Write `text`, print what remains to be corrected and what comes next; returns 0.

    Raises:
        UsageError: the file exists.
    """
    path = repository.root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{file} exists already and is not overwritten; give another name") from None
    result = validate(repository, [file])
    if result.findings:
        print(REPORTERS["text"](result.findings, result.files), end="")
    if result.failed:
        print(f"wrote {file}; correct what is named above, then run `ft validate {file}`")
    else:
        print(f"wrote {file}; it is valid. Next: read it, then run `ft plan {file}`")
    return 0
