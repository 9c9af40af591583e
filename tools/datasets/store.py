"""The tenant's storage as `--storage DIR` shows it: where data lies and where tokenizers are."""

from __future__ import annotations

import hashlib
from pathlib import Path

DATA = "data/training-datasets"
BASE_MODELS = "models/base-model"


def data_file(storage: Path, path: str) -> Path:
    """The file of a dataset."""
    return storage / DATA / path


def model_folder(storage: Path, path: str) -> Path:
    """The folder of a base model."""
    return storage / BASE_MODELS / path


def holds(path: Path, sha256: str) -> bool:
    """Whether the file is there with this content."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
