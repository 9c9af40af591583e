"""What a rule about any file but an experiment looks at: the file as its format, its name and the repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from tools.formats.parse import Parsed
from tools.repository import Repository

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One file under judgement.

    parsed: the file as read; `parsed.document.finding(...)` places findings.
    name: what other files call it: the folder of a tenant, else the file's stem.
    tenant_name: whose file it is; empty for files of the platform.
    """

    repository: Repository
    parsed: Parsed[T]
    name: str
    tenant_name: str = ""

    @property
    def value(self) -> T:
        """The file's content; fields that are not `parsed.usable` hold defaults or None."""
        assert self.parsed.value is not None
        return self.parsed.value
