"""The hash by which every lock knows its content."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel

# The last content and its data: what is hashed is written or compared next. Contents never change.
_last: tuple[BaseModel | None, dict[str, Any]] = (None, {})


def digest(content: BaseModel) -> str:
    """SHA-256 (64 hexadecimal digits) of the canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(plain(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plain(content: BaseModel) -> dict[str, Any]:
    """The content as plain data, which nobody may change."""
    global _last  # noqa: PLW0603 - one entry of a cache
    last = _last  # another thread may put its own there
    if last[0] is not content:
        last = _last = (content, content.model_dump(mode="json"))
    return last[1]
