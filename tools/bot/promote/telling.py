"""What a merge request that changed what is served, or what is recalled, is told after the merge: one comment each, once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.bot.authorize.history import Landing
from tools.bot.promote.judging import Served
from tools.bot.report.escape import code, shown

if TYPE_CHECKING:
    from tools.bot.forge import Forge

_MARKER = "<!-- ft-bot: served {} -->"
_DIGITS = 16


@dataclass(frozen=True)
class Told:
    """A comment. iid: the merge request. marker: a line of it by which it is found again."""

    iid: int
    marker: str
    body: str


def verdict(decided: Served) -> Told | None:
    """What became of a change below serving/; None where no merge request brought it."""
    if decided.conduct is None:
        return None
    title = code(decided.title)
    if decided.state == "refused":
        reasons = "".join(f"- {shown(reason, 1000)}\n" for reason in decided.verdict.reasons)
        text = f"### ⛔ Not promoted: {title}\n\nWhat is served stays as it was, and the bot puts {code(decided.file)} back.\n\n{reasons}"
    elif decided.served is None:
        text = f"### ⏹️ {title} is no longer served\n\nIts overlay and its route go."
    else:
        served = decided.served
        text = (
            f"### ✅ {title} is promoted\n\nRun {code(served.run_id)}, version {served.model_version}, published as "
            f"{code(served.publication)}.\n\nThe vLLM restarts pod by pod; `ft serve-check` says when it answers with this"
            " version. To roll back, revert this merge request and have the revert approved."
        )
    return _told(decided.conduct.merge_request.iid, f"{decided.landing.commit} {decided.file}", text)


def lifted(landing: Landing, why: str) -> Told | None:
    """A recall that holds although the merge request weakened it."""
    if landing.merge_request is None:
        return None
    text = f"### ⛔ The recall still holds\n\n{shown(why, 2000)}"
    return _told(landing.merge_request.iid, f"{landing.commit} {why}", text)


def tell(forge: Forge, comments: Iterable[Told]) -> None:
    """Write each comment that is not there yet.

    Raises:
        ForgeAway: GitLab gives no answer, now; the same call writes the rest later.
    """
    for each in comments:
        own = (note for note in forge.notes(each.iid) if note.author == forge.me())
        if not any(each.marker in note.body for note in own):
            forge.add_note(each.iid, f"{each.marker}\n{each.body}")


def _told(iid: int, key: str, text: str) -> Told:
    return Told(iid, _MARKER.format(hashlib.sha256(key.encode()).hexdigest()[:_DIGITS]), text)
