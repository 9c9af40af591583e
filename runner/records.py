"""JSON files that prove something: strict, written in one step, and with a checksum over their own content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from runner.hashing import write_json
from tools.formats.base import Strict

T = TypeVar("T", bound="Record")


class Damaged(ValueError):  # noqa: N818 - a verdict on a file
    """The file is no such record, or was changed after it was written."""


class Record(Strict):
    """Base of the records. `checksum`: SHA-256 of the canonical JSON (sorted keys, no spaces) of everything else."""

    checksum: str = ""

    def write(self, file: Path) -> None:
        """Write it with its checksum; it is on the disk when this returns."""
        write_json(file, self.model_copy(update={"checksum": self._digest()}).model_dump(mode="json"))

    def _digest(self) -> str:
        content = self.model_dump(mode="json", exclude={"checksum"})
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read(cls: type[T], file: Path) -> T:
    """The record in `file`.

    Raises:
        FileNotFoundError: there is none.
        Damaged: it is not what was written.
    """
    try:
        found = cls.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise Damaged(f"{file} is damaged: {error.errors(include_url=False)[0]['msg']}") from error
    if found.checksum != found._digest():  # noqa: SLF001 - of the same class
        raise Damaged(f"{file} is damaged: its checksum is not that of its content")
    return found
