"""Whether the bot vouches for the image of an environment: `provenance/<digest>.intoto.json`, from the clone alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tools.repository import Repository

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

FOLDER = "provenance"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
_LARGEST = 1 << 20  # bytes
_PROPOSE = "let the bot propose the image again, or build it again on main"


@dataclass(frozen=True, slots=True)
class Origin:
    """One environment's image. signed_by: id of the key; commit: what the image was built from; fault: empty when all is well."""

    environment: str
    image: str
    signed_by: str = ""
    commit: str = ""
    fault: str = ""


def path(digest: str) -> str:
    """Where the statement about an image lies; digest: 64 hexadecimal digits."""
    return f"{FOLDER}/{digest}.intoto.json"


def origin(repository: Repository, environment: str, image: str, keys: Sequence[SSlibKey]) -> Origin:
    """Look at one image (name@sha256:digest), of which one of the keys must have signed the statement."""
    from tools import dsse

    name, _, digest = image.rpartition("@sha256:")
    place = path(digest)
    file = repository.root / place
    if file.is_symlink() or not file.is_file() or file.stat().st_size > _LARGEST:
        return Origin(environment, image, fault=f"{place} is no file: nobody vouches for the image; {_PROPOSE}")
    try:
        found = dsse.opened(file.read_bytes())
        key = dsse.signed_by(found, keys)
        subject, commit = _subject(found.payload)
    except ValueError as error:
        return Origin(environment, image, fault=f"{place}: {error}; {_PROPOSE}")
    if not key or found.payload_type != PAYLOAD_TYPE:
        return Origin(environment, image, fault=f"{place}: none of the given keys signed it; give the bot's public key")
    if subject != (name, digest):
        return Origin(environment, image, key, fault=f"{place} is about another image; {_PROPOSE}")
    return Origin(environment, image, key, commit)


def _subject(payload: bytes) -> tuple[tuple[str, str], str]:
    """Name and digest of the image, and the commit."""
    try:
        statement: Any = json.loads(payload)
        (subject,) = statement["subject"]
        made_of = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        commits = [each["digest"]["gitCommit"] for each in made_of if "gitCommit" in each["digest"]]
        return (str(subject["name"]), str(subject["digest"]["sha256"])), str(commits[0])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise ValueError("no in-toto statement about one image") from None
