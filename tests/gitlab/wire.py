"""What goes between the stand-in's HTTP side and its endpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.gitlab.model import Account


class Refused(Exception):  # noqa: N818 - the situation's name
    """GitLab's no, with the status that its documentation gives."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass
class Call:
    """One request that was answered."""

    method: str
    path: str
    user: str | None
    git: bool = False
    status: int = 0
    token_in_url: bool = False


@dataclass
class Request:
    """What an endpoint gets."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]
    raw: bytes
    headers: Any
    account: Account | None


@dataclass
class Response:
    """What an endpoint gives: JSON data (a list is cut into pages), or bytes of a type."""

    data: Any = None
    status: int = 200
    content: bytes | None = None
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
