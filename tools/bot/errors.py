"""What can go wrong around the bot, named by the situation that its operator is in.

ToolFault
├── ForgeAway          GitLab gave no usable answer, now: the work is tried again later
├── ForgeRefused       GitLab answered no: a person must change something; `status` says what kind of no
│   └── ForgeMissing   it is not there, or the token may not see it (404)
├── MirrorFault        git failed: no repository behind the URL, a full disk, a missing key
│   ├── MirrorAway     the repository gave no answer, now
│   │   └── HeadMissing  it answered, and has not yet what one merge request holds
│   ├── PushLost       somebody else moved the branch first: fetch, decide again
│   └── Hostile        a commit holds what the bot refuses to read: too many files, too large
└── StoreFault         the bot's own store cannot be read or written
"""

from __future__ import annotations

from tools.errors import ToolFault


class ForgeAway(ToolFault):
    """GitLab gave no usable answer.

    `status` is the HTTP status, None without an answer. `maybe_done`: the request may have taken effect all the same,
    so look before you ask for the same thing again.
    """

    def __init__(self, message: str, *, status: int | None = None, maybe_done: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.maybe_done = maybe_done


class ForgeRefused(ToolFault):
    """GitLab refused; `status` is the HTTP status, `remedy` what a person must do."""

    def __init__(self, message: str, *, status: int, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.status = status
        self.remedy = remedy


class ForgeMissing(ForgeRefused):
    """Not there, or not to be seen with this token (404)."""


class MirrorFault(ToolFault):
    """Git could not do what was asked; the message holds git's last line."""


class MirrorAway(MirrorFault):
    """The repository gave no answer: the work is tried again later."""


class HeadMissing(MirrorAway):
    """One merge request's commit is not there yet, or its branch has none; others can be looked at."""


class PushLost(MirrorFault):
    """The branch moved since it was fetched: nothing was pushed."""


class Hostile(MirrorFault):
    """A commit's tree is over the limits, or names files that cannot be data."""


class StoreFault(ToolFault):
    """The store cannot be read or written."""
