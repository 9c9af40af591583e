"""A version that passed its evaluation reaches serving/ by a merge request that the bot opens once and the approvers decide.

One branch a version, so that doing it again finds what is there: open, merged, or closed by a person, who then does not want
it. An open one whose version is served, overtaken or recalled meanwhile is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.bot.errors import ForgeRefused, PushLost
from tools.bot.promote import evidence
from tools.bot.promote.candidates import Candidate, candidates, prefix
from tools.bot.records import MergeRequest
from tools.models.versions import ModelVersion, RegistryFault, Versions
from tools.repository import Repository
from tools.serving_file import text

if TYPE_CHECKING:
    from tools.bot.forge import Forge
    from tools.bot.mirror import Mirror

MAIN = "main"
_TAKEN = 409
_STALE = "What this proposes is served, overtaken by a newer version, or recalled meanwhile: the bot closes it."


@dataclass(frozen=True)
class Proposer:
    """What proposing takes. base: main's commit, whose files `repository` holds."""

    forge: Forge
    mirror: Mirror
    repository: Repository
    base: str
    registry: Versions

    def propose(self, environment: str) -> list[str]:
        """Open what is missing and close what is stale; what was done, a sentence each.

        Raises:
            ForgeAway, MirrorAway: no answer, the next round does it.
        """
        wanted = candidates(self.repository, environment)
        opened = self.forge.open_merge_requests()
        done = [self._close(request) for request in _stale(opened, environment, wanted, self.forge)]
        made = [self._open(found) for found in wanted if not self._known(found)]
        return [*done, *(f"opened !{request.iid}: {request.title}" for request in made if request is not None)]

    def _known(self, found: Candidate) -> bool:
        return bool(self.forge.merge_requests_from(found.branch, state="all"))

    def _close(self, request: MergeRequest) -> str:
        self.forge.add_note(request.iid, _STALE)
        self.forge.close_merge_request(request.iid)
        return f"closed !{request.iid}: {request.title}"

    def _open(self, found: Candidate) -> MergeRequest | None:
        self._push(found)
        try:
            return self.forge.create_merge_request(
                source_branch=found.branch,
                target_branch=MAIN,
                title=evidence.title(found),
                description=evidence.description(found, self._versions(found.name)),
            )
        except ForgeRefused as refused:
            if refused.status == _TAKEN:  # another bot was first
                return None
            raise

    def _versions(self, name: str) -> Sequence[ModelVersion]:
        """MLflow being away takes the table from the description, not the proposal from the approvers."""
        try:
            return self.registry.of_model(name)
        except RegistryFault:
            return ()

    def _push(self, found: Candidate) -> None:
        """Put the commit on its branch; one that is there already, after a crash, is taken as it is."""
        if self.mirror.tip(found.branch) is not None:
            return
        content = text(found.environment, found.name, found.served).encode()
        message = f"{evidence.title(found)}\n\nRun {found.served.run_id}, publication {found.served.publication}.\n"
        commit = self.mirror.commit(self.base, {found.file: content}, message, sign=False)
        try:
            self.mirror.push({found.branch: (None, commit)})
        except PushLost:  # another bot was first
            return


def _stale(
    opened: Sequence[MergeRequest], environment: str, wanted: Sequence[Candidate], forge: Forge
) -> list[MergeRequest]:
    """Open proposals of the bot's for the environment that nobody would open now."""
    current = {found.branch for found in wanted}
    own = [each for each in opened if each.source_branch.startswith(prefix(environment)) and each.author == forge.me()]
    return [each for each in own if each.source_branch not in current]
