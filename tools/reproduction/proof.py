"""completion.json as far as a comparison needs it; runner/completion.py writes it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tools.errors import ToolFault
from tools.formats.base import RelativePath, Sha256
from tools.formats.lock import Lock
from tools.formats.model import File

NAME = "completion.json"


class Proof(BaseModel):
    """What the run's end was; fields that later runners add are left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    run_sha256: Sha256
    steps_done: int
    metrics: dict[str, float | None]
    files: dict[RelativePath, File]
    versions: dict[str, str]
    datasets: dict[str, Sha256]
    image: str
    git_commit: str | None


def adapter(storage: Path, lock: Lock) -> Path:
    """Folder of a run's result."""
    return storage / "output" / "lora-adapter" / lock.run_id


def read(storage: Path, lock: Lock) -> Proof:
    """The proof that a run finished on this storage.

    Raises:
        ToolFault: there is none, it was changed, or it is another run's.
    """
    file = adapter(storage, lock) / NAME
    try:
        data = json.loads(file.read_bytes())
        checksum = data.pop("checksum")
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
        proof = Proof.model_validate(data)
    except FileNotFoundError as error:
        raise ToolFault(f"{file} is missing: the run has not finished on this storage; give its --storage") from error
    except (OSError, ValueError, KeyError, AttributeError, ValidationError) as error:
        raise ToolFault(
            f"{file} cannot be read as a proof: {type(error).__name__}; restore it from a backup"
        ) from error
    if hashlib.sha256(canonical).hexdigest() != checksum:
        raise ToolFault(f"{file} was changed after it was written: its checksum is of other content")
    if proof.run_sha256 != lock.sha256:
        raise ToolFault(f"{file} is of the run {proof.run_sha256}; allowed: {lock.sha256}, as the lock says")
    return proof
