"""A manifest's columns and file fit its format.

LLaMA Factory reads preference pairs from the columns `chosen` and `rejected` (or, alpaca without them, fails on the
first row), conversations from `messages`, and files by their suffix.

Fails:

    format: alpaca
    ranking: true               # without columns chosen and rejected
    path: topics.csv

Passes:

    format: alpaca
    ranking: true
    columns: {prompt: instruction, chosen: chosen, rejected: rejected}
    path: topics.json
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.dataset import Dataset
from tools.rules.entry import Entry

ID = "dataset-columns"
KIND = "dataset"
NEEDS: tuple[str, ...] = ()
# Source: llamafactory/data/parser.py, DatasetAttr; converter.py.
_SUFFIXES = (".json", ".jsonl")
_PAIR = ("chosen", "rejected")
_CHAT_FORMATS = ("sharegpt", "openai")
_ALPACA_ONLY = ("prompt", "query", "response", "history")


def check(entry: Entry[Dataset]) -> Iterator[Finding]:
    """Compare columns and file with the format."""
    dataset, document, usable = entry.value, entry.parsed.document, entry.parsed.usable
    if usable("path") and not dataset.path.endswith(_SUFFIXES):
        allowed, remedy = " or ".join(_SUFFIXES), "convert the file"
        yield document.finding(("path",), ID, f"path {quote(dataset.path)}", allowed, remedy)
    if usable("ranking", "columns") and dataset.ranking:
        missing = [name for name in _PAIR if name not in dataset.columns]
        if missing:
            remedy = "name them under columns:"
            found = f"ranking without the columns {' and '.join(missing)}"
            yield document.finding(("ranking",), ID, found, "columns chosen and rejected", remedy)
    if usable("format", "columns"):
        chat = dataset.format in _CHAT_FORMATS
        wrong = [name for name in dataset.columns if (name in _ALPACA_ONLY if chat else name == "messages")]
        for name in wrong:
            found = f"column {quote(name)} with format: {dataset.format}"
            allowed = "messages" if chat else ", ".join(_ALPACA_ONLY)
            yield document.finding(("columns", name), ID, found, allowed, "correct format or column", key=True)
    if usable("format", "tags") and dataset.tags and dataset.format not in _CHAT_FORMATS:
        yield document.finding(
            ("tags",), ID, "tags with format: alpaca", "format: sharegpt or openai", "remove them", key=True
        )
