"""A page of docs/ that is generated: written, or with `--check` only compared."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def main(argv: Sequence[str] | None, *, command: str, about: str | None, page: Path, text: str, source: str) -> int:
    """Write `text` to `page`; with `--check` return 1 when it differs.

    command: the one that writes it. source: what the page is made from, for the message.
    """
    parser = argparse.ArgumentParser(prog=command, description=about)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page differs")
    if not parser.parse_args(argv).check:
        page.parent.mkdir(exist_ok=True)
        page.write_text(text, encoding="utf-8")
        return 0
    if page.is_file() and page.read_text(encoding="utf-8") == text:
        return 0
    print(f"docs/{page.name}: differs from {source}; run `{command}`")
    return 1
