"""What the checks found, for people: what is wrong in full, what a paid tier would add, what cannot be seen, and a count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tools.examining import Result


def lines(results: Sequence[Result], *, where: str, tier: str) -> Iterator[str]:
    """What `ft doctor gitlab` prints."""
    for state in ("wrong", "paid"):
        for result in (result for result in results if result.state == state):
            yield f"{state:<7} {result.subject}  [{result.check}]"
            yield f"        found: {result.found}; wanted: {result.wanted}"
            yield f"        -> {result.remedy}"
    count = {state: sum(result.state == state for result in results) for state in ("right", "wrong", "paid", "unseen")}
    for result in (result for result in results if result.state == "unseen"):
        yield f"unseen  {result.subject}  [{result.check}]"
        yield f"        {result.found}; {result.remedy}"
    yield (
        f"{where} ({tier}): {count['right']} protections hold, {count['wrong']} are missing, "
        f"{count['paid']} need a paid tier, {count['unseen']} cannot be seen from here"
    )
