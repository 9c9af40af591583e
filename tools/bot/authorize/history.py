"""How main came from one commit to another: its landings, each with the merge request that GitLab says it was.

A landing is one step of main's first-parent history: a merge commit, a squash commit, the commits of a fast-forward taken
together, a commit of the bot, or a commit that somebody pushed directly. GitLab's merge request is tied to it by the commit ids
that GitLab recorded, never by a commit's message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tools.bot.records import MergeRequest

if TYPE_CHECKING:
    from tools.bot.mirror import Mirror

Blobs = tuple[str | None, str | None]


@dataclass(frozen=True)
class Landing:
    """One step of main.

    commit, before: main after and before it. merge_request: None for the bot's own commits and for direct pushes.
    changed: path -> (object before, object after), None where there is no file.
    """

    commit: str
    before: str
    merge_request: MergeRequest | None
    by_bot: bool
    changed: Mapping[str, Blobs] = field(repr=False)

    @property
    def name(self) -> str:
        """What people know it by."""
        return f"!{self.merge_request.iid}" if self.merge_request else f"commit {self.commit[:12]}"


def landings(
    mirror: Mirror, old: str, new: str, merged: Iterable[MergeRequest], base_of: Callable[[MergeRequest], str | None]
) -> list[Landing]:
    """The landings from `old` (not included) to `new`, oldest first.

    base_of: where GitLab says that a merge request began; asked for fast-forwards of several commits only.
    """
    by_commit = _by_commit(merged)
    found: list[Landing] = []
    waiting: list[tuple[str, str]] = []  # commits whose landing is not known yet, each with its parent
    for commit, parents in mirror.first_parents(old, new):
        before = parents[0] if parents else old
        merge_request = _one(by_commit.get(commit, []), parents)
        if merge_request is not None and merge_request.head_sha == commit:
            before = _start(mirror, waiting, before, base_of(merge_request)) if waiting else before
        found += [_direct(mirror, *each) for each in waiting] if merge_request or mirror.is_signed(commit) else []
        if merge_request is not None:
            found.append(Landing(commit, before, merge_request, by_bot=False, changed=mirror.diff(before, commit)))
            waiting.clear()
        elif mirror.is_signed(commit):
            found.append(Landing(commit, before, None, by_bot=True, changed=mirror.diff(before, commit)))
            waiting.clear()
        else:
            waiting.append((commit, before))
    return found + [_direct(mirror, *each) for each in waiting]


def _by_commit(merged: Iterable[MergeRequest]) -> dict[str, list[MergeRequest]]:
    """Where each merge request stands on main: its merge commit, its squash commit, or its head itself."""
    found: dict[str, list[MergeRequest]] = {}
    for merge_request in merged:
        commit = merge_request.merge_commit_sha or merge_request.squash_commit_sha or merge_request.head_sha
        found.setdefault(commit, []).append(merge_request)
    return found


def _one(candidates: Sequence[MergeRequest], parents: Sequence[str]) -> MergeRequest | None:
    """The merge request of a commit. GitLab names the same one for a merge request whose branch came in through another."""
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    own = [each for each in candidates if {each.head_sha, each.squash_commit_sha} & set(parents[1:])]
    return own[0] if len(own) == 1 else None


def _start(mirror: Mirror, waiting: list[tuple[str, str]], before: str, base: str | None) -> str:
    """Where a fast-forward began; its commits leave `waiting`, direct pushes before it stay."""
    own = 0
    for commit, _ in reversed(waiting):
        if base is None or mirror.is_ancestor(commit, base):
            break
        own += 1
    if own:
        before = waiting[-own][1]
        del waiting[-own:]
    return before


def _direct(mirror: Mirror, commit: str, before: str) -> Landing:
    return Landing(commit, before, None, by_bot=False, changed=mirror.diff(before, commit))


def last_of(found: Sequence[Landing], path: str) -> Landing | None:
    """The landing that gave a path what it holds now."""
    return next((landing for landing in reversed(found) if path in landing.changed), None)


def faithful(mirror: Mirror, landing: Landing) -> bool:
    """Whether the landing holds what its merge request does and nothing else: a merge made by hand can smuggle more in."""
    if landing.merge_request is None:
        return False
    head = landing.merge_request.head_sha
    return landing.commit == head or mirror.merged_tree(landing.before, head) == mirror.tree(landing.commit)
