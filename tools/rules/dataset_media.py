"""Datasets hold text only: images, audio and video are not supported yet.

The runner image, the token counts and the memory estimate know text. LLaMA Factory would read the media files from paths
inside the data, which nothing checks.

Fails:

    columns: {messages: conversations, images: pictures}

Passes:

    columns: {messages: conversations}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.dataset import Dataset
from tools.rules.entry import Entry
from tools.yamlsource import Document

ID = "dataset-media"
KIND = "dataset"
NEEDS: tuple[str, ...] = ()
SUPERSEDES = True
_MEDIA = ("images", "videos", "audios", "image", "video", "audio")


def media_of(document: Document) -> list[str]:
    """The media columns that a manifest names."""
    columns = document.data.get("columns") if isinstance(document.data, dict) else None
    return [name for name in _MEDIA if name in columns] if isinstance(columns, dict) else []


def check(entry: Entry[Dataset]) -> Iterator[Finding]:
    """Look for columns of media."""
    for name in media_of(entry.parsed.document):
        found = f"the column {quote(name)}"
        where = ("columns", name)
        yield entry.parsed.document.finding(
            where, ID, found, "text columns only, for now", "use a dataset without media"
        )
