"""One comment on each merge request: found, written, and kept the only one, whoever else does what at the same time.

A comment is ours when our own account wrote it and it begins with the marker: anybody can copy the marker. Where several
bots made one at the same moment, the oldest stays and each removes its own.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.bot import translate
from tools.bot.errors import ForgeAway, ForgeMissing
from tools.bot.forge import PAGE, Forge
from tools.bot.records import MergeRequest, Note
from tools.bot.report.text import MARKER


@contextmanager
def alone(folder: Path, iid: int) -> Iterator[None]:
    """One report of a merge request after the other: what is written last was also looked at last.

    folder: of this bot. The lock is the kernel's, so that it dies with its holder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"report-{iid}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Sticky:
    """The comment of one merge request.

    known: its id, where the bot remembers it; None to look for it. Methods raise ForgeAway and ForgeRefused.
    """

    def __init__(self, forge: Forge, iid: int, known: int | None) -> None:
        self._forge = forge
        self._iid = iid
        self._known = known

    def write(self, body: str, still_right: Callable[[MergeRequest], bool]) -> int | None:
        """Put `body` into the comment, and return the comment's id.

        still_right: looks at the merge request right before the writing; where it says no, nothing is written: None.
        """
        note_id = self._known if self._known is not None else self._found()
        if not still_right(self._forge.merge_request(self._iid)):
            return None
        if note_id is not None:
            try:
                return self._forge.edit_note(self._iid, note_id, body).id
            except ForgeMissing:
                # A person deleted it. There may be another of ours, made when the remembered one was not known.
                if self._known is not None and (other := self._found()) is not None:
                    return self._forge.edit_note(self._iid, other, body).id
        return self._make(body, still_right)

    def _found(self) -> int | None:
        """The oldest comment of ours; younger ones go."""
        mine = self._mine(self._forge.notes(self._iid))
        for double in mine[1:]:
            self._forge.delete_note(self._iid, double)
        return mine[0] if mine else None

    def _make(self, body: str, still_right: Callable[[MergeRequest], bool]) -> int | None:
        made = self._forge.add_note(self._iid, body).id
        mine = self._mine(self._newest())
        if not mine or made <= mine[0]:
            return made
        # Another bot was first. Its text may be newer than ours.
        self._forge.delete_note(self._iid, made)
        if not still_right(self._forge.merge_request(self._iid)):
            return None
        return self._forge.edit_note(self._iid, mine[0], body).id

    def _newest(self) -> list[Note]:
        """The newest page of comments, in which everything lies that another bot wrote at the same moment."""
        path = f"/projects/{self._forge.project_id}/merge_requests/{self._iid}/notes"
        found = self._forge.get(path, sort="desc", order_by="created_at", per_page=PAGE)
        try:
            return [translate.note(each) for each in found]
        except (KeyError, TypeError, ValueError) as error:
            raise ForgeAway(f"{path}: the answer is not what GitLab documents ({type(error).__name__})") from None

    def _mine(self, notes: list[Note]) -> list[int]:
        """Ids of our comments, oldest first."""
        marked = [note for note in notes if not note.system and note.body.startswith(MARKER)]
        # Who we are takes a call, and matters only where somebody wrote the marker.
        return sorted(note.id for note in marked if note.author == self._forge.me())
