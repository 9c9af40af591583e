"""Names in an experiment's `datasets:`, each by itself: one bad name does not hide what is wrong with the others."""

from __future__ import annotations

from collections.abc import Iterator

from tools.rules.file_name import is_label
from tools.rules.subject import Subject

MOST = 32  # more are refused by the format


def named(subject: Subject) -> Iterator[tuple[int, str]]:
    """Index and name of each entry that is a DNS label."""
    data = subject.parsed.document.data
    names = data.get("datasets") if isinstance(data, dict) else None
    for index, name in enumerate(names[:MOST] if isinstance(names, list) else ()):
        if isinstance(name, str) and is_label(name):
            yield index, name
