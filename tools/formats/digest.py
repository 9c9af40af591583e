"""The hash by which every lock knows its content."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel


def digest(content: BaseModel) -> str:
    """SHA-256 (64 hexadecimal digits) of the canonical JSON: sorted keys, no spaces, UTF-8."""
    plain = content.model_dump(mode="json")
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
