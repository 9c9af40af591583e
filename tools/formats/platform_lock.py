"""`overlays/<env>/_platform/lock.yaml`: what the platform itself is in one cluster, completely resolved."""

from __future__ import annotations

from typing import Literal

from tools.formats.base import Label, Sha256, Strict
from tools.formats.digest import digest
from tools.formats.environment import Git


class PlatformContent(Strict):
    """Everything that decides what the folder holds; the names are those of `environments/<env>.yaml`."""

    environment: Label
    git: Git | None
    kueue: bool


class PlatformLock(Strict):
    """The content with its hash."""

    version: Literal[1]
    sha256: Sha256
    content: PlatformContent


def seal(content: PlatformContent) -> PlatformLock:
    """The lock of a platform's content."""
    return PlatformLock(version=1, sha256=digest(content), content=content)
