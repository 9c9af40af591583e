"""Verify overlays offline: each is what was approved, and the bot's key signed it.

Checked from the clone alone: the lock hashes to its run id, the overlay is what the lock gives, the commit that last wrote
it is signed, its trailer `Merge-Request` and the audit record name what the lock names. --key gives the bot's public key;
without it the key is looked for in your own gpg keyring and must be one of git.signing_keys in environments/<env>.yaml.
Exit code 1: something is not as it should be.
"""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import UsageError
from tools.expand import locks
from tools.repository import Repository

if TYPE_CHECKING:
    from tools.verify import Verified


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft verify`."""
    parser.add_argument(
        "overlays", nargs="*", metavar="OVERLAY", type=Path, help="folders overlays/<env>/<tenant>/<name>"
    )
    parser.add_argument("--all", action="store_true", help="every run's overlay of the repository")
    parser.add_argument(
        "--key", action="append", type=Path, default=[], metavar="FILE", help="public key, armoured or not"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how it is printed (text)")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Print what was verified; 1 when an overlay has a fault."""
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
