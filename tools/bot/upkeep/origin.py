"""Where a proposed image comes from: the statement of the job `build`, held against git and signed with the bot's key.

The job holds no key, as whoever merges can edit it. What the bot vouches for is what it can see for itself: the statement is an
artifact of that job on the protected main, about this very digest, of a commit that main has, with that commit's pins. The
envelope lies at `provenance/<digest>.intoto.json` and comes to main with the image, so that `ft verify image` finds it offline.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.bot.errors import ForgeMissing
from tools.errors import ToolFault, UsageError
from tools.image_origin import PAYLOAD_TYPE, PREDICATE, STATEMENT, path

if TYPE_CHECKING:
    from pathlib import Path

    from tools.bot.forge import Forge
    from tools.bot.mirror import Mirror
    from tools.bot.upkeep.images import Built

ARTIFACT = "reports/image.provenance.json"
_FILE = re.compile(r"file:([A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)")
_REMEDY = "find out who changed the job `build`, and run it again on main"


class _Resource(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    uri: str = ""
    name: str = ""
    digest: dict[str, str]


class _Definition(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    made_of: list[_Resource] = Field(alias="resolvedDependencies", max_length=20)


class _Predicate(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    definition: _Definition = Field(alias="buildDefinition")


class _Statement(BaseModel):
    """As much of an in-toto statement with SLSA provenance as is looked at."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    type: str = Field(alias="_type")
    kind: str = Field(alias="predicateType")
    subject: list[_Resource] = Field(min_length=1, max_length=1)
    predicate: _Predicate


def envelope(forge: Forge, mirror: Mirror, job: str, built: Built, key: Path) -> dict[str, bytes] | None:
    """The signed statement: path -> content; None where the job found the image in the registry and so did not make it.

    Raises:
        ToolFault: the statement is not about this image of this repository; nothing is proposed then.
        UsageError: `key` holds no ed25519 key.
    """
    from tools import dsse

    try:
        statement: Any = forge.get(f"/projects/{forge.project_id}/jobs/artifacts/main/raw/{ARTIFACT}", job=job)
    except ForgeMissing:
        return None
    reason = next(_faults(statement, mirror, built, forge.project().web_url), None)
    if reason is not None:
        raise ToolFault(f"{ARTIFACT} of the job {job} on main: {reason}; {_REMEDY}")
    try:
        signer = dsse.load(key)
    except (OSError, ValueError) as error:
        raise UsageError(f"`signing.provenance_key_file`: {getattr(error, 'strerror', None) or error}") from None
    content = json.dumps(dsse.envelope(statement, PAYLOAD_TYPE, signer), indent=2) + "\n"
    return {path(built.digest): content.encode()}


def _faults(statement: Any, mirror: Mirror, built: Built, project: str) -> Iterator[str]:
    try:
        said = _Statement.model_validate(statement)
    except ValidationError as error:
        yield f"no statement: {error.errors(include_url=False, include_input=False)[0]['msg']}"
        return
    if (said.type, said.kind) != (STATEMENT, PREDICATE):
        yield "another kind of statement"
    if (said.subject[0].name, said.subject[0].digest) != (built.repository, {"sha256": built.digest}):
        yield "it is about another image"
    main = mirror.tip("main")
    if main is None or not mirror.is_ancestor(built.commit, main):
        yield f"{built.commit} is no commit of main"
        return
    made_of = {each.uri: each.digest for each in said.predicate.definition.made_of}
    if made_of.pop(f"git+{project}", None) != {"gitCommit": built.commit}:
        yield f"it does not name {project} at {built.commit}"
    if not made_of:
        yield "it names no pins"
    for uri, digest in made_of.items():
        file = _FILE.fullmatch(uri)
        content = mirror.file(built.commit, file[1]) if file is not None else None
        if content is None or digest != {"sha256": hashlib.sha256(content).hexdigest()}:
            yield "its pins are not those of the commit"
