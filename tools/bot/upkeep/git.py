"""Main as files for one round, and the commits that a round makes: computed again when somebody else was first."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.bot.errors import PushLost
from tools.bot.upkeep.surroundings import Surroundings
from tools.errors import ToolFault
from tools.repository import Repository

if TYPE_CHECKING:
    from tools.bot.mirror import Mirror

MAIN = "main"
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Planned:
    """One commit: path -> content (None: the file goes), its subject, and the merge requests that its runs came by.

    deploys: whether the cluster must see it; such a commit waits while `deployed/<env>` must not move.
    """

    changes: Mapping[str, bytes | None]
    subject: str
    merge_requests: Sequence[int]
    deploys: bool


@dataclass(frozen=True, slots=True)
class Written:
    """The commit, None where there was nothing to write; `obstacles`: why it waits."""

    commit: str | None = None
    obstacles: tuple[str, ...] = ()


@contextmanager
def checkout(mirror: Mirror) -> Iterator[tuple[str, Repository]]:
    """Main's newest commit and its files as data.

    Raises:
        ToolFault: there is no main.
    """
    mirror.fetch()
    commit = mirror.tip(MAIN)
    if commit is None:
        raise ToolFault(f"the repository has no branch {MAIN}; look at the bot's settings: URL and project")
    with tempfile.TemporaryDirectory(prefix="ft-upkeep-") as folder:
        mirror.materialise(commit, Path(folder))
        yield commit, Repository(Path(folder))


def write(around: Surroundings, environment: str, plan: Callable[[Repository], Planned | None]) -> Written:
    """Commit what `plan` makes of main; when main has moved meanwhile, plan again over the new one.

    A commit that the cluster must see moves `deployed/<environment>` too, so it comes only after everything on main has its
    verdict: the next authorization starts there.

    Raises:
        PushLost: main moved each time.
        ToolFault: the check over the whole tree fails, or git does.
    """
    from tools.bot.authorize import deploying, guarding

    mirror = around.mirror
    for _ in range(_TRIES):
        with checkout(mirror) as (base, repository):
            planned = plan(repository)
        if planned is None or not planned.changes:
            return Written()
        if planned.deploys:
            if around.authorize(environment) != base:
                continue
            obstacles = guarding.obstacles(around.forge, mirror, environment, base)
            if obstacles:
                return Written(None, tuple(obstacles))
        message = deploying.message(planned.subject, planned.merge_requests)
        try:
            commit = deploying.commit(mirror, environment, base, planned.changes, message, deploy=planned.deploys)
        except PushLost:
            continue
        return Written(commit)
    raise PushLost(f"{MAIN} moved {_TRIES} times while a commit was made; the next round tries again")
