"""`overlays/<env>/_platform/lock.yaml`: what the platform itself is in one cluster, completely resolved."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field

from tools.formats.base import Label, Sha256, Strict
from tools.formats.environment import Git


class PlatformContent(Strict):
    """Everything that decides what the folder holds; the names are those of `environments/<env>.yaml`."""

    environment: Label
    git: Git | None
    node_selector: Annotated[dict[str, str], Field(description="Labels of the nodes that train; the base's when empty")]
    kueue: bool


class PlatformLock(Strict):
    """The content with its hash."""

    version: Literal[1]
    sha256: Sha256
    content: PlatformContent


def digest(content: PlatformContent) -> str:
    """SHA-256 (64 hexadecimal digits) of the canonical JSON: sorted keys, no spaces, UTF-8."""
    plain = content.model_dump(mode="json")
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seal(content: PlatformContent) -> PlatformLock:
    """The lock of a platform's content."""
    return PlatformLock(version=1, sha256=digest(content), content=content)
