"""Text of others as GitLab Markdown that shows it and does nothing: no mention, link, HTML, quick action or table cell.

Sources: GitLab Flavored Markdown (docs: user/markdown.md), quick actions (docs: user/project/quick_actions.md: only at the
start of a line, never in code blocks). Everything here returns one line, which the caller never puts at a line's start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from tools.markdown import escaped

LONGEST = 500
# What GitLab may make a link or a mention of, however its punctuation is escaped.
_ALIVE = re.compile(r"://|www\.|mailto:|@", re.IGNORECASE)
_TICKS = re.compile(r"`+")
_BARS = re.compile(r"(\\*)\|")
_ADDRESS = re.compile(r"https?://[^\s()<>\"'`|\\]+")


def shown(text: str, limit: int = LONGEST) -> str:
    """A text as it is, on one line, cut at `limit` characters."""
    line = plain(text, limit)
    return code(line) if _ALIVE.search(line) else escaped(line)


def plain(text: str, limit: int = LONGEST) -> str:
    """One printable line: control, invisible and direction characters as their escapes, cut at `limit` characters."""
    line = " ".join(text[: limit + 1].split())
    safe = line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return f"{safe[: limit - 3]}..." if len(safe) > limit else safe


def code(text: str, limit: int = LONGEST) -> str:
    """The same as code, in which GitLab looks for nothing."""
    line = plain(text, limit)
    fence = "`" * (1 + max((len(ticks) for ticks in _TICKS.findall(line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") or not line.strip() else ""
    return f"{fence}{pad}{_BARS.sub(_in_cell, line)}{pad}{fence}"


def link(text: str, address: str) -> str:
    """A link to an address of ours; text that is nobody's markup. An address that is none becomes no link."""
    return f"[{escaped(plain(text))}]({address})" if _ADDRESS.fullmatch(address) else shown(text)


def path_part(path: str) -> str:
    """A path inside an address."""
    return quote(path.encode("utf-8", "surrogateescape"), safe="/")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; the cells are Markdown already."""
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def folded(summary: str, lines: Iterable[str]) -> list[str]:
    """Lines that open with a click; the summary is words of ours."""
    return [f"<details><summary>{summary}</summary>", "", *lines, "", "</details>"]


def listing(lines: Iterable[str], limit: int = 300) -> list[str]:
    """Lines of a log as a code block. Each begins with a bar, so that none is a fence or a quick action."""
    return ["```text", *(f"│ {_printable(line)[:limit]}" for line in lines), "```"]


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def _in_cell(match: re.Match[str]) -> str:
    """A bar as a table's cell takes it, which ends its cells before it looks for code: escaped by an odd number of backslashes."""
    return f"{match[1]} \\|" if len(match[1]) % 2 else f"{match[1]}\\|"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _printable(line: str) -> str:
    line = line.rstrip().expandtabs(4)
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
