"""A round's part about what is served and recalled: verdicts, the changes of the tree, and what the merge requests are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tools.bot.authorize.history import Landing
from tools.bot.promote import lifting, writing
from tools.bot.promote.judging import Judge, Served
from tools.bot.promote.telling import Told, lifted, verdict


@dataclass(frozen=True)
class Promotions:
    """What a round found about serving/ and recalls/. changes: path -> content, None for what goes. told: comments to make."""

    decided: tuple[Served, ...] = ()
    recalls: lifting.Kept = field(default_factory=lifting.Kept)
    changes: writing.Changes = field(default_factory=dict)
    told: tuple[Told, ...] = ()

    @property
    def files(self) -> dict[str, list[str]]:
        """For a commit's subject: verb -> files."""
        found = {"promote": "promoted", "take out of service": "withdrawn", "put back": "refused"}
        named = {verb: [each.file for each in self.decided if each.state == state] for verb, state in found.items()}
        return {**named, "put back": [*named["put back"], *self.recalls.contents]}

    @property
    def merge_requests(self) -> list[int]:
        """Those that the changes come of."""
        return [each.conduct.merge_request.iid for each in self.decided if each.conduct and each.state != "refused"]


def put_back(kept: lifting.Kept, folder: Path) -> None:
    """Have the files of main say what holds, before anything is judged by them."""
    for path, content in kept.contents.items():
        target = folder / path
        if content is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        else:
            target.unlink(missing_ok=True)


def decide(
    judge: Judge, kept: lifting.Kept, environment: str, landings: Sequence[Landing], now: datetime
) -> Promotions:
    """The verdict on everything that landed."""
    decided = judge.judge(environment, landings)
    changes: writing.Changes = dict(kept.contents)
    for each in decided:
        changes |= writing.changes(judge.mirror, judge.repository, each, now)
    told = [*(verdict(each) for each in decided), *(lifted(landing, why) for landing, why in kept.reasons)]
    return Promotions(tuple(decided), kept, changes, tuple(each for each in told if each is not None))
