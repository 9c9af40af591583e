"""Who signed the commit that last wrote a path: git's history and gpg's verdict, offline.

The verdict is gpg's status lines (doc/DETAILS of GnuPG), never git's exit code or a person's configuration: a repository
could name another program to check signatures with.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.errors import ToolFault, UsageError

_STATUS = "[GNUPG:] "
# git's settings that could replace the check, or the commit that is checked.
_SETTINGS = ("gpg.format=openpgp", "gpg.program=gpg", "gpg.openpgp.program=gpg", "gpg.minTrustLevel=undefined")
_IN_WORDS = {
    "ERRSIG": "signed by a key that is not given",
    "BADSIG": "its signature is of other content",
    "REVKEYSIG": "its key was revoked",
    "EXPSIG": "its signature has expired",
    "EXPKEYSIG": "signed after its key had expired",
}


@dataclass(frozen=True, slots=True)
class Signature:
    """gpg's verdict on one commit.

    keys: fingerprints of the signing key and of its primary key; empty when the signature is not good.
    fault: why it is not, in words; empty when it is.
    """

    keys: tuple[str, ...]
    fault: str = ""

    def is_of(self, ids: Sequence[str]) -> bool:
        """Whether one of the long key ids or fingerprints made it."""
        return any(key.endswith(wanted) for key in self.keys for wanted in ids)


@dataclass(frozen=True)
class History:
    """The git history of a checkout, read with the keys of `home` (None: the caller's own keyring)."""

    root: Path
    home: Path | None = None

    def last_commit(self, path: str) -> str | None:
        """Full id of the newest commit of HEAD that wrote the path; None when it was never committed."""
        return self._git("log", "-1", "--format=%H", "HEAD", "--", path).decode().strip() or None

    def blob(self, commit: str, path: str) -> bytes | None:
        """A file as a commit holds it, None when it holds none."""
        done = self._run("cat-file", "blob", f"{commit}:{path}")
        return done.stdout if done.returncode == 0 else None

    def versions(self, folder: str, ending: str) -> list[tuple[str, str]]:
        """Commits of any branch that wrote files of a folder whose path ends so, and the files; newest first."""
        options = ("--all", "--format=%x01%H", "--name-only", "-z", "--diff-filter=AMR", "--no-renames")
        found = []
        for block in self._git("log", *options, "--", folder).decode("utf-8", "replace").split("\1")[1:]:
            commit, *files = [part.strip("\n") for part in block.split("\0")]
            found += [(commit, file) for file in files if file.endswith(ending)]
        return found

    def names(self, commit: str, folder: str) -> set[str]:
        """Names of what a commit holds directly in a folder."""
        listed = self._git("ls-tree", "-z", "--name-only", commit, "--", f"{folder}/").decode()
        return {path.rpartition("/")[2] for path in listed.split("\0") if path}

    def trailers(self, commit: str, key: str) -> list[str]:
        """Values of a trailer of the commit's message."""
        form = f"--format=%(trailers:key={key},valueonly,unfold)"
        return [line.strip() for line in self._git("log", "-1", form, commit).decode().splitlines() if line.strip()]

    def signature(self, commit: str) -> Signature:
        """Who signed the commit."""
        done = self._run("verify-commit", "--raw", commit)
        lines = [line.removeprefix(_STATUS).split() for line in done.stderr.decode("utf-8", "replace").splitlines()]
        return _verdict({line[0]: line[1:] for line in lines if line})

    @property
    def is_cut(self) -> bool:
        """Whether the clone is shallow: the commit that last wrote a file may be missing from it."""
        return self._git("rev-parse", "--is-shallow-repository").strip() == b"true"

    def _git(self, *arguments: str) -> bytes:
        done = self._run(*arguments)
        if done.returncode != 0:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no reason given"]
            raise UsageError(f"{self.root}: git cannot read the history ({last[0]}); run this inside a clone")
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        environment = {**os.environ, "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        if self.home is not None:
            environment["GNUPGHOME"] = str(self.home)
        command = ["git", *settings, "--literal-pathspecs", "-C", str(self.root), *arguments]
        try:
            return subprocess.run(command, capture_output=True, check=False, env=environment)
        except FileNotFoundError as error:
            raise ToolFault("git is not on PATH; install it") from error


def _verdict(status: Mapping[str, Sequence[str]]) -> Signature:
    valid = status.get("VALIDSIG")
    if valid is None:
        known = next((words for name, words in _IN_WORDS.items() if name in status), "not signed")
        return Signature((), known)
    bad = next((name for name in _IN_WORDS if name in status), None)
    if bad == "EXPKEYSIG" and _before_expiry(valid, status.get("KEYEXPIRED", ())):
        bad = None
    return Signature((), _IN_WORDS[bad]) if bad else Signature((valid[0], valid[-1]))


def _before_expiry(valid: Sequence[str], expired: Sequence[str]) -> bool:
    """A key that was good when it signed stays good for that signature: records are read years later."""
    return bool(expired) and int(valid[2]) < int(expired[0])


@contextmanager
def keyring(files: Sequence[Path]) -> Iterator[Path]:
    """A keyring that holds the public keys of these files and nothing else.

    Raises:
        UsageError: a file holds no public key.
    """
    with tempfile.TemporaryDirectory(prefix="ft-keys-") as folder:
        home = Path(folder)
        for file in files:
            if not file.is_file():
                raise UsageError(f"--key {file} is no file; `gpg --armor --export KEYID` writes one")
            command = [
                "gpg",
                "--homedir",
                folder,
                "--batch",
                "--no-autostart",
                "--status-fd",
                "1",
                "--import",
                str(file),
            ]
            try:
                done = subprocess.run(command, capture_output=True, check=False)
            except FileNotFoundError as error:
                raise ToolFault("gpg is not on PATH; install gnupg") from error
            if b"IMPORT_OK" not in done.stdout:
                raise UsageError(f"--key {file} holds no public key; `gpg --armor --export KEYID` writes one")
        yield home
