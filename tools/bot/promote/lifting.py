"""A recall holds as soon as it is merged; to weaken one takes the tenant's approvers. What was weakened without is put back.

Each landing is judged by itself, so that an approved change of the same file does not cover an unapproved one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tools.bot.authorize.before import Past
from tools.bot.authorize.decision import Evidence, Verdict, decide
from tools.bot.authorize.history import Landing
from tools.bot.authorize.inquiry import Inquiry
from tools.bot.promote.judging import rules_before
from tools.formats.parse import parse
from tools.formats.recall import Recall
from tools.recalls import weaker
from tools.rules.kinds import place_of
from tools.yamlsource import parse as read

if TYPE_CHECKING:
    from tools.bot.mirror import Mirror


@dataclass(frozen=True)
class Kept:
    """Recalls that stay. contents: path -> what the file held. reasons: landing and why it does not count."""

    contents: dict[str, bytes | None] = field(default_factory=dict)
    reasons: list[tuple[Landing, str]] = field(default_factory=list)


def kept(mirror: Mirror, inquiry: Inquiry, past: Past, landings: Sequence[Landing]) -> Kept:
    """What to put back, of recalls that changed over these landings.

    Raises:
        ForgeAway: GitLab gives no answer, now.
    """
    found = Kept()
    for path in _touched(landings):
        holds = mirror.file(landings[0].before, path)
        now = holds
        for landing in (each for each in landings if path in each.changed):
            now = mirror.file(landing.commit, path)
            less = [] if landing.by_bot else _less(path, holds, now)
            verdict = _approved(mirror, inquiry, past, landing, path) if less else None
            if verdict is None or verdict.state == "authorized":
                holds = now
            else:
                why = (
                    f"{path} holds as it was, because {'; '.join(less)} without approval: {'; '.join(verdict.reasons)}"
                )
                found.reasons.append((landing, why))
        if now != holds:
            found.contents[path] = holds
    return found


def _touched(landings: Sequence[Landing]) -> list[str]:
    """Every recall that a landing changed, also where the last one left what there was at first: opened, and removed again."""
    paths = dict.fromkeys(path for landing in landings for path in landing.changed)
    return [path for path in paths if (place := place_of(path)) is not None and place.kind == "recall"]


def _less(path: str, old: bytes | None, new: bytes | None) -> list[str]:
    before = _recall(path, old)
    return weaker(before, _recall(path, new)) if before is not None else []


def _recall(path: str, content: bytes | None) -> Recall | None:
    """What a file says; None where it is not there or not valid."""
    try:
        parsed = parse(Recall, read((content or b"").decode("utf-8"), path))
    except UnicodeDecodeError:
        return None
    return parsed.value if not parsed.findings else None


def _approved(mirror: Mirror, inquiry: Inquiry, past: Past, landing: Landing, path: str) -> Verdict:
    conduct = inquiry.conduct(landing)
    head = conduct.merge_request.head_sha if conduct is not None else landing.commit
    evidence = Evidence(
        file=path,
        attempt=1,
        run_id="",
        sha256="",
        conduct=conduct,
        rules=rules_before(past, landing, path.split("/")[1]),
        same_content=mirror.blob(head, path) == mirror.blob(landing.commit, path),
        shown=None,
    )
    return decide(evidence)
