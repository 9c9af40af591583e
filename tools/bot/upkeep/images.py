"""A new runner image reaches `environments/<env>.yaml` by a merge request that a platform admin approves.

The job `build` on main leaves reports/image.json (ci/). Its digest goes into the environment whose image is of the same
repository; runs that exist keep theirs. One branch a digest, so that doing it again finds what is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.bot.errors import ForgeMissing, ForgeRefused, PushLost
from tools.bot.records import MergeRequest
from tools.errors import ToolFault
from tools.formats.environment import Environment

if TYPE_CHECKING:
    from tools.bot.forge import Forge
    from tools.bot.mirror import Mirror

ARTIFACT = "reports/image.json"
JOB = "build"
MAIN = "main"
_LINE = re.compile(
    r"^image:[ \t]+(?P<quote>[\"']?)(?P<image>[^\s\"'#]+)(?P=quote)(?P<rest>[ \t]*(?:#.*)?)$", re.MULTILINE
)
_DIGITS = 12
_TAKEN = 409


class Built(BaseModel):
    """What the job `build` says. Other keys are its own; nothing here is trusted before an admin approves it."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, hide_input_in_errors=True)

    version: Literal[1]
    image: Annotated[
        str,
        Field(pattern=r"^[a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)+@sha256:[0-9a-f]{64}$", max_length=400),
    ]
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]

    @property
    def repository(self) -> str:
        """The image without its digest."""
        return self.image.partition("@")[0]

    @property
    def digest(self) -> str:
        """64 hexadecimal digits."""
        return self.image.rpartition(":")[2]


def latest(forge: Forge) -> Built | None:
    """What the last successful `build` on main made; None when there is none.

    API: GET /projects/:id/jobs/artifacts/:ref_name/raw/*artifact_path (doc/api/job_artifacts.md).

    Raises:
        ToolFault: the artifact is not what `build` writes.
    """
    try:
        data: Any = forge.get(f"/projects/{forge.project_id}/jobs/artifacts/{MAIN}/raw/{ARTIFACT}", job=JOB)
    except ForgeMissing:
        return None
    try:
        return Built.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ToolFault(f"{ARTIFACT} of the job {JOB} on {MAIN}: {where}: {first['msg']}; run that job again") from None


def propose(forge: Forge, mirror: Mirror, environments: Mapping[str, Environment]) -> list[MergeRequest]:
    """Open what is missing: one merge request for each environment that has another digest of the same image.

    environments: as main has them, of which the mirror fetched the tip.
    """
    built = latest(forge)
    if built is None:
        return []
    return [made for name, known in environments.items() if (made := _one(forge, mirror, name, known, built))]


def changed(text: str, image: str) -> str | None:
    """The environment's file with another image, everything else as a person wrote it; None where that line is unusual."""
    found = list(_LINE.finditer(text))
    if len(found) != 1:
        return None
    start, end = found[0].span("image")
    return text[:start] + image + text[end:]


def branch_of(environment: str, built: Built) -> str:
    """The branch of a proposal."""
    return f"ft-bot/image-{environment}-{built.digest[:_DIGITS]}"


def _one(forge: Forge, mirror: Mirror, name: str, known: Environment, built: Built) -> MergeRequest | None:
    if known.image == built.image or known.image.partition("@")[0] != built.repository:
        return None
    branch = branch_of(name, built)
    if forge.merge_requests_from(branch, state="all"):
        return None  # open, merged, or closed by a person, who then does not want it
    _push(mirror, name, built, branch, known.image)
    try:
        return forge.create_merge_request(
            source_branch=branch,
            target_branch=MAIN,
            title=_title(name, built),
            description=_description(name, built, known.image),
        )
    except ForgeRefused as refused:
        if refused.status == _TAKEN:  # another bot was first
            return None
        raise


def _push(mirror: Mirror, name: str, built: Built, branch: str, before: str) -> None:
    """Put the commit on its branch; one that is there already, after a crash, is taken as it is."""
    base, file = mirror.tip(MAIN), f"environments/{name}.yaml"
    if base is None:
        raise ToolFault(f"there is no branch {MAIN}; look at the bot's GitLab project")
    if mirror.tip(branch) is not None:
        return
    content = mirror.file(base, file)
    text = changed(content.decode(), built.image) if content is not None else None
    if text is None:
        raise ToolFault(
            f"{file}: no single line `image: {before}` to change; write {built.image} there by a merge request"
        )
    message = f"{_title(name, built)}\n\nBuilt from {built.commit}, tag {built.tag}.\n"
    try:
        mirror.push({branch: (None, mirror.commit(base, {file: text.encode()}, message, sign=False))})
    except PushLost:  # another bot was first
        return


def _title(name: str, built: Built) -> str:
    return f"Runner image of {name}: {built.digest[:_DIGITS]}"


def _description(name: str, built: Built, before: str) -> str:
    return (
        f"New runs in `{name}` use the runner image that the job `{JOB}` made on `{MAIN}`; runs that have an overlay keep theirs.\n\n"
        f"| | |\n|---|---|\n| image | `{built.image}` |\n| before | `{before}` |\n| tag | `{built.tag}` |\n"
        f"| built from | {built.commit} |\n\n"
        f"SBOM and provenance are artifacts of that job: `reports/image.sbom.json`, `reports/image.provenance.json`. A platform "
        f"admin approves and merges; closing this keeps the bot from proposing this digest for `{name}` again.\n"
    )
