"""Plans as GitLab markdown, for a merge request comment. Every text from a file is escaped: it cannot mention, link or format."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from tools.markdown import escaped
from tools.plan.estimate import Plan
from tools.plan.sections import Section, headline, sections

_FOLDED = ("Run", "Training", "Peak", "Storage", "Notes")


def report(plans: Sequence[Plan]) -> str:
    """All plans."""
    return "\n".join(line for plan in plans for line in _lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    yield f"### {escaped(plan.file)}\n"
    yield f"{escaped(headline(plan))}\n"
    for section in sections(plan):
        folded = section.title.startswith(_FOLDED)
        if folded:  # the platform's own words; markdown means nothing inside HTML
            yield f"<details><summary>{html.escape(section.title)}</summary>\n"
        else:
            yield f"**{escaped(section.title)}**\n"
        yield from _table(section)
        yield "\n</details>\n" if folded else ""


def _table(section: Section) -> Iterator[str]:
    yield _row(section.head)
    yield _row(tuple("---" for _ in section.head), raw=True)
    for row in section.rows:
        yield _row(row)


def _row(cells: tuple[str, ...], *, raw: bool = False) -> str:
    return "| " + " | ".join(cell if raw else escaped(cell) for cell in cells) + " |"
