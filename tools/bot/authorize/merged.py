"""The merge requests that may have landed since a deployed commit: one call a hundred."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tools.bot.records import MergeRequest

if TYPE_CHECKING:
    from tools.bot.forge import Forge
    from tools.bot.mirror import Mirror

# The commit's time is this bot's clock or an admin's, the merge request's is GitLab's.
_CLOCKS_APART = timedelta(hours=1)


def merged_since(forge: Forge, mirror: Mirror, commit: str) -> list[MergeRequest]:
    """Those into main that were merged after a signed commit was made, with their heads fetched.

    Raises:
        ForgeAway: GitLab gives no answer, now.
    """
    found = forge.merged_merge_requests(mirror.committed_at(commit) - _CLOCKS_APART)
    mirror.fetch([merge_request.iid for merge_request in found])
    return found
