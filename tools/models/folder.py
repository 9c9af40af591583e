"""The files of a model's folder: which there are, that none can run code, and what is in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tools.errors import UsageError
from tools.formats.base import PATTERN_IN_WORDS, RelativePath
from tools.formats.model import File

# Pickles: loading one runs whatever code it holds.
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5"})
CODE = frozenset({".py", ".so", ".sh"})
_PATH = TypeAdapter(RelativePath)
_PATH_IN_WORDS = next(words for words in PATTERN_IN_WORDS.values() if words.startswith("a relative path"))


def files_of(folder: Path) -> list[str]:
    """Every file below the folder, as relative paths; hidden ones (.git, .cache) are no part of the model.

    A link counts as the file that it leads to, as in a Hugging Face cache.

    Raises:
        UsageError: there is no such folder, or it holds something that a model must not.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give the one that holds config.json and *.safetensors")
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_symlink() and not path.is_file():
            raise UsageError(f"{path} is a link to a folder or to nothing; allowed: files; copy the files themselves")
        if path.is_dir():
            continue
        found.append(_accepted(path, name))
    if not any(name.rpartition("/")[2].startswith("tokenizer") for name in found):
        raise UsageError(
            f"{folder} holds no tokenizer; allowed: tokenizer.json beside the weights; download the whole model"
        )
    return found


def _accepted(path: Path, name: str) -> str:
    if not path.is_file():
        raise UsageError(f"{path} is no regular file; allowed: files and folders; delete it")
    if path.suffix in CODE:
        raise UsageError(
            f"{path} is code, which the platform never runs; allowed: safetensors, JSON and text; delete it"
        )
    if path.suffix in PICKLES:
        raise UsageError(
            f"{path} may be a Python pickle, which can run any code; allowed: *.safetensors; delete it where the weights "
            "are there as safetensors too, else convert them in a sandbox: "
            "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    try:
        return _PATH.validate_python(name)
    except ValidationError:
        raise UsageError(f"{path} has a name that is not allowed; allowed: {_PATH_IN_WORDS}; rename it") from None


def hashed(folder: Path, names: list[str]) -> dict[str, File]:
    """Name -> SHA-256 and size (bytes) of its content."""
    found = {}
    for name in names:
        with (folder / name).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            found[name] = File(sha256=digest, size=stream.tell())
    return found
