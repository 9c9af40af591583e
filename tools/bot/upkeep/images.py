"""A new runner image reaches `environments/<env>.yaml` by a merge request that a platform admin approves.

The job `build` on main leaves reports/image.json (ci/). Its digest goes into the environment whose image is of the same
repository; runs that exist keep theirs. One branch a digest, so that doing it again finds what is there. Older proposals of the
bot are closed once the newest is there or merged: merging one of them would go back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.bot.errors import ForgeMissing, ForgeRefused, PushLost
from tools.bot.records import MergeRequest
from tools.bot.upkeep import origin
from tools.errors import ToolFault
from tools.formats.environment import Environment
from tools.image_origin import path

if TYPE_CHECKING:
    from pathlib import Path

    from tools.bot.forge import Forge
    from tools.bot.mirror import Mirror

ARTIFACT = "reports/image.json"
JOB = "build"
MAIN = "main"
_LINE = re.compile(
    r"^image:[ \t]+(?P<quote>[\"']?)(?P<image>[^\s\"'#]+)(?P=quote)(?P<rest>[ \t]*(?:#.*)?)$", re.MULTILINE
)
_PREFIX = "ft-bot/image-"
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


def propose(
    forge: Forge, mirror: Mirror, environments: Mapping[str, Environment], key: Path | None = None
) -> list[MergeRequest]:
    """Open what is missing: one merge request for each environment that has another digest of the same image.

    environments: as main has them, of which the mirror fetched the tip. key: holds the key that signs where an image comes from;
    without it nothing is signed.

    Raises:
        ToolFault: an artifact is not what `build` writes, or not about this image.
    """
    built = latest(forge)
    if built is None:
        return []
    made = [found for name, known in environments.items() if (found := _one(forge, mirror, name, known, built, key))]
    _close_older(forge, environments, built, {each.source_branch for each in made})
    return made


def _close_older(forge: Forge, environments: Mapping[str, Environment], built: Built, made: Collection[str]) -> None:
    """Close the bot's own open proposals of other digests, where the newest is open or main has it.

    One that a person closed does not count: who does not want the newest may want an older one.
    """
    opened = [each for each in forge.open_merge_requests() if each.source_branch.startswith(_PREFIX)]
    there = {each.source_branch for each in opened} | set(made)
    for name, known in environments.items():
        newest = branch_of(name, built)
        older = [each for each in opened if _is_of(each.source_branch, name) and each.source_branch != newest]
        if (newest in there or known.image == built.image) and older:
            for each in (each for each in older if each.author == forge.me()):
                forge.close_merge_request(each.iid)
                forge.add_note(each.iid, f"Closed: the job `{JOB}` has made a newer image, `{built.image}`.")


def _is_of(branch: str, environment: str) -> bool:
    """Whether it is the branch of a proposal for this very environment; names may begin alike."""
    return re.fullmatch(rf"{_PREFIX}{re.escape(environment)}-[0-9a-f]{{{_DIGITS}}}", branch) is not None


def changed(text: str, image: str) -> str | None:
    """The environment's file with another image, everything else as a person wrote it; None where that line is unusual."""
    found = list(_LINE.finditer(text))
    if len(found) != 1:
        return None
    start, end = found[0].span("image")
    return text[:start] + image + text[end:]


def branch_of(environment: str, built: Built) -> str:
    """The branch of a proposal."""
    return f"{_PREFIX}{environment}-{built.digest[:_DIGITS]}"


def _one(
    forge: Forge, mirror: Mirror, name: str, known: Environment, built: Built, key: Path | None
) -> MergeRequest | None:
    if known.image == built.image or known.image.partition("@")[0] != built.repository:
        return None
    branch = branch_of(name, built)
    if forge.merge_requests_from(branch, state="all"):
        return None  # open, merged, or closed by a person, who then does not want it
    signed = origin.envelope(forge, mirror, JOB, built, key) if key is not None else None
    _push(mirror, name, built, branch, known.image, signed or {})
    try:
        return forge.create_merge_request(
            source_branch=branch,
            target_branch=MAIN,
            title=_title(name, built),
            description=_description(name, built, known.image, signed=bool(signed)),
        )
    except ForgeRefused as refused:
        if refused.status == _TAKEN:  # another bot was first
            return None
        raise


def _push(mirror: Mirror, name: str, built: Built, branch: str, before: str, signed: Mapping[str, bytes]) -> None:
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
        mirror.push({branch: (None, mirror.commit(base, {file: text.encode(), **signed}, message, sign=False))})
    except PushLost:  # another bot was first
        return


def _title(name: str, built: Built) -> str:
    return f"Runner image of {name}: {built.digest[:_DIGITS]}"


def _description(name: str, built: Built, before: str, *, signed: bool) -> str:
    vouched = (
        f"The bot has held that provenance against git and signed it: `{path(built.digest)}` of this merge request."
        if signed
        else "**Nobody has signed that provenance**: the bot has no key for it, or the job found the image in the registry."
    )
    return (
        f"New runs in `{name}` use the runner image that the job `{JOB}` made on `{MAIN}`; runs that have an overlay keep theirs.\n\n"
        f"| | |\n|---|---|\n| image | `{built.image}` |\n| before | `{before}` |\n| tag | `{built.tag}` |\n"
        f"| built from | {built.commit} |\n\n"
        f"SBOM and provenance are artifacts of that job: `reports/image.sbom.json`, `reports/image.provenance.json`. {vouched} "
        f"A platform admin approves and merges; closing this keeps the bot from proposing this digest for `{name}` again.\n"
    )
