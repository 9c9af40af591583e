"""Whether a comment was written, when the bot died or GitLab's answer was lost right then.

What a comment shows is noted before it is written, and on record as shown afterwards. In between only GitLab knows: when our
comment there has the very text, it was shown, since GitLab's own time of it.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from tools.bot.errors import ForgeMissing
from tools.bot.forge import Forge
from tools.bot.records import Note
from tools.bot.store import Showing, Store

GIVE_UP = timedelta(days=7)


def digest(body: str) -> str:
    """Of a comment's text; GitLab may cut white space off its ends."""
    return hashlib.sha256(body.strip().encode()).hexdigest()


def confirm(forge: Forge, store: Store) -> None:
    """Settle every comment in question: almost always none, hence no call.

    Raises:
        ForgeAway, ForgeRefused: GitLab cannot be asked.
    """
    for each in store.showing():
        note = next((note for note in _ours(forge, store, each) if digest(note.body) == each.body), None)
        if note is not None:
            store.note_comment(each.iid, note.id)
            store.save_shown(each.iid, each.head, each.runs, note.updated_at)
        elif datetime.now(UTC) - each.at > GIVE_UP:
            store.drop_showing(each.iid)


def _ours(forge: Forge, store: Store, each: Showing) -> list[Note]:
    """The comment that the bot knows, or all that its account wrote."""
    known = store.comment(each.iid)
    try:
        if known is not None:
            return [forge.note(each.iid, known)]
    except ForgeMissing:
        pass  # a person deleted it
    return [note for note in forge.notes(each.iid) if note.author == forge.me() and not note.system]
