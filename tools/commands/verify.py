"""Verify overlays offline: each is what was approved, and the bot's key signed it.

Checked from the clone alone: the lock hashes to its run id, the overlay is what the lock gives, the commit that last wrote
it is signed, its trailer `Merge-Request` and the audit record name what the lock names. --key gives the bot's public key;
without it the key is looked for in your own gpg keyring and must be one of git.signing_keys in environments/<env>.yaml.
`ft verify model FOLDER` verifies published models instead, offline and without the repository if need be: every file against
publication.json, certificate.json, bom.cdx.json and provenance.intoto.json, and the signature of the latter. --key then gives the
public key (PEM, ed25519); without it those of `model_signing` in environments/<env>.yaml count.
`ft verify image [ENVIRONMENT ...] --key FILE` verifies that the bot vouches for the images of environments: where each was built from,
by provenance/<digest>.intoto.json and the bot's public key (PEM, ed25519).
Exit code 1: something is not as it should be.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import ToolFault, UsageError
from tools.expand import locks
from tools.repository import Repository

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

    from tools.verify import Verified
    from tools.verify_model import VerifiedModel

_MODEL, _IMAGE = "model", "image"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft verify`."""
    parser.add_argument(
        "overlays",
        nargs="*",
        metavar="OVERLAY",
        type=Path,
        help="folders overlays/<env>/<tenant>/<name>; or the word `model` and folders of published models; or the "
        "word `image` and names of environments (all when there is none)",
    )
    parser.add_argument("--all", action="store_true", help="every run's overlay of the repository")
    parser.add_argument(
        "--key", action="append", type=Path, default=[], metavar="FILE", help="public key, armoured or not"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how it is printed (text)")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Print what was verified; 1 when an overlay or a model has a fault."""
    if args.overlays[:1] == [Path(_MODEL)]:
        return _models(args)
    if args.overlays[:1] == [Path(_IMAGE)]:
        return _images(args)
    from tools.signatures import History, keyring
    from tools.verify import Verifier

    repository = Repository.find(args.repo)
    folders = _chosen(repository, args)
    with keyring(args.key) if args.key else nullcontext() as home:
        history = History(repository.root, home)
        if history.is_cut:
            raise UsageError("the clone is shallow, so who last wrote a file is not known; run `git fetch --unshallow`")
        verifier = Verifier(repository, history, given=bool(args.key))
        found = [verifier.verify(folder) for folder in folders]
    print(json.dumps([each.data() for each in found], indent=2) if args.format == "json" else _text(found))
    return int(any(each.faults for each in found))


def _models(args: argparse.Namespace) -> int:
    """Verify published models.

    Raises:
        UsageError: a folder or key is none.
        ToolFault: a folder cannot be read.
    """
    from tools.verify_model import verify

    if args.all or not args.overlays[1:]:
        raise UsageError("give the folders of the models: `ft verify model FOLDER [FOLDER ...] [--key FILE]`")
    found = []
    for folder in args.overlays[1:]:
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder; give one such as merged-model/<model_name>/<run id>")
        try:
            keys, must_be_signed = _keys(args, folder)
            found.append(verify(folder, keys, must_be_signed=must_be_signed))
        except OSError as error:
            raise ToolFault(
                f"{folder} cannot be read: {error}; see that the storage is mounted and yours to read"
            ) from error
    print(json.dumps([each.data() for each in found], indent=2) if args.format == "json" else _models_text(found))
    return int(any(each.faults for each in found))


def _images(args: argparse.Namespace) -> int:
    from tools.image_origin import origin

    repository = Repository.find(args.repo)
    if not args.key:
        raise UsageError("whose signature? give --key FILE with the bot's public key (docs/gitlab-setup.md)")
    known = [name for name in repository.names("environments") if name != "platform"]
    keys, found = _parsed((f"--key {file}", _key_file(file)) for file in args.key), []
    for name in [str(each) for each in args.overlays[1:]] or known:
        environment = repository.environment(name) if name in known else None
        if environment is None:
            raise UsageError(f"environments/{name}.yaml is missing or not valid; there are: {', '.join(known)}")
        found.append(origin(repository, name, environment.image, keys))
    if args.format == "json":
        print(json.dumps([{**asdict(each), "ok": not each.fault} for each in found], indent=2))
    else:
        good = "{0.environment}: {0.image} built from {0.commit}, signed by {0.signed_by:.16}"
        print("\n".join(f"{each.environment}: {each.fault}" if each.fault else good.format(each) for each in found))
    return int(any(each.fault for each in found))


def _keys(args: argparse.Namespace, folder: Path) -> tuple[list[SSlibKey], bool]:
    """Public keys that count for a model, and whether it has to be signed."""
    from tools.verify_model import environment_of

    texts = [(f"--key {file}", _key_file(file)) for file in args.key]
    if not texts:
        try:
            known = Repository.find(args.repo).environment(environment_of(folder))
        except UsageError:
            if args.repo is not None:
                raise
            known = None  # the folder alone, away from the repository
        signing = known.model_signing if known is not None else None
        texts = (
            [(f"environments/{environment_of(folder)}.yaml", key.encode()) for key in signing.public_keys]
            if signing
            else []
        )
    keys = _parsed(texts)
    return keys, bool(keys)


def _parsed(texts: Iterable[tuple[str, bytes]]) -> list[SSlibKey]:
    """Public keys, each with the place that it stands in."""
    from tools.dsse import public_key

    keys = []
    for place, text in texts:
        try:
            keys.append(public_key(text))
        except ValueError as error:
            raise UsageError(f"{place} holds {error}") from error
    return keys


def _key_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"--key {file} cannot be read: {error.strerror}") from error


def _models_text(found: list[VerifiedModel]) -> str:
    from tools.verify_model import UNSIGNED

    lines = []
    for each in found:
        lines += [f"{each.folder}: {fault}" for fault in each.faults]
        if not each.faults:
            signed = (
                f"UNSIGNED: {each.environment or 'its environment'} names no key, so this shows no more than that nothing was "
                "damaged"
                if each.signature == UNSIGNED
                else f"signed by {each.signature[:16]}"
            )
            lines.append(
                f"{each.folder}: {each.model_name}, run {each.run_id}, {each.files} files as certified, {signed}"
            )
    wrong = sum(1 for each in found if each.faults)
    return "\n".join([*lines, f"{len(found)} verified: {len(found) - wrong} as published, {wrong} with faults"])


def _chosen(repository: Repository, args: argparse.Namespace) -> list[str]:
    runs = locks.runs(repository)
    if args.all:
        return runs
    if not args.overlays:
        raise UsageError("nothing to verify; give folders such as overlays/dev/team-a/exp-001, or --all")
    named = [locks.overlay_at(repository, path) for path in args.overlays]
    strangers = [folder for folder in named if folder not in runs]
    if strangers:
        raise UsageError(f"{strangers[0]} is no run's overlay; give folders such as overlays/dev/team-a/exp-001")
    return named


def _text(found: list[Verified]) -> str:
    lines = []
    for each in found:
        lines += [f"{each.overlay}: {fault}" for fault in each.faults]
        if not each.faults:
            who = ", ".join(each.approvers)
            lines.append(
                f"{each.overlay}: {each.run_id}, approved in !{each.merge_request} by {who}, "
                f"commit {each.commit[:12]} signed by {each.signed_by[-16:]}"
            )
    wrong = sum(1 for each in found if each.faults)
    return "\n".join([*lines, f"{len(found)} verified: {len(found) - wrong} as approved, {wrong} with faults"])
