"""What the checks found, for people: everything that is wrong in full, what cannot be seen, and a count of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tools.examining import Result


def lines(results: Sequence[Result], *, context: str, server: str) -> Iterator[str]:
    """What `ft doctor cluster` prints."""
    wrong = [result for result in results if result.state == "wrong"]
    unseen = [result for result in results if result.state == "unseen"]
    for result in wrong:
        yield f"wrong   {result.subject}  [{result.check}]"
        yield f"        found: {result.found}; wanted: {result.wanted}"
        yield f"        -> {result.remedy}"
    for result in unseen:
        yield f"unseen  {result.subject}  [{result.check}]"
        yield f"        {result.found}; {result.remedy}"
    total = len(results) - len(unseen)
    yield f"{context} ({server}): {total - len(wrong)} of {total} settings are right, {len(unseen)} cannot be seen from here"
