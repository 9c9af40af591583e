"""Git repositories as the bot leaves them: a bare one that Argo CD reads, filled by signed commits on a branch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

BRANCH = "deployed/dev"


@dataclass(frozen=True)
class SigningKey:
    """A GnuPG key made for one test run."""

    home: Path
    fingerprint: str
    public: str  # in ASCII armour

    @property
    def key_id(self) -> str:
        """The 16 digits that Argo CD names the key by."""
        return self.fingerprint[-16:]


@contextmanager
def signing_key(home: Path) -> Iterator[SigningKey]:
    """Make a key without a passphrase, a day old, as a bot's key is older than its commits; its agent ends with it."""
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    born = _gpg_time(datetime.now(UTC) - timedelta(days=1))
    try:
        make = ["--passphrase", "", "--quick-generate-key", "Bot <bot@example.invalid>", "ed25519", "sign", "never"]
        subprocess.run([*gpg, "--faked-system-time", born, *make], check=True, capture_output=True)
        listed = subprocess.run([*gpg, "--list-keys", "--with-colons"], check=True, capture_output=True, text=True)
        fingerprint = next(line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fpr:"))
        armour = subprocess.run([*gpg, "--armor", "--export", fingerprint], check=True, capture_output=True, text=True)
        yield SigningKey(home, fingerprint, armour.stdout)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)


def _gpg_time(when: datetime) -> str:
    return when.strftime("%Y%m%dT%H%M%S")


class Repository:
    """A bare repository and the clone that fills it."""

    def __init__(self, folder: Path, key: SigningKey) -> None:
        self.bare = folder / "repository.git"
        self.work = folder / "work"
        self._key = key
        subprocess.run(["git", "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", self.bare], check=True)
        subprocess.run(["git", "init", "--quiet", f"--initial-branch={BRANCH}", self.work], check=True)
        self._git("config", "gpg.format", "openpgp")
        self._git("remote", "add", "origin", self.url)

    @property
    def url(self) -> str:
        """What Argo CD calls the repository."""
        return self.bare.as_uri()

    @property
    def key_id(self) -> str:
        """The key that its commits are signed with, as Argo CD names it."""
        return self._key.key_id

    def add(self, source: Path, target: str) -> None:
        """Copy a file or folder to a path of the next commit."""
        to = self.work / target
        to.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, to, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, to)

    def remove(self, target: str) -> None:
        """Leave a folder out of the next commit."""
        shutil.rmtree(self.work / target)

    def push(self, message: str, *, signed: bool = True, ahead: timedelta | None = None) -> str:
        """Commit everything, push it and return the commit; `ahead` is how far the committer's clock is wrong."""
        self._git("add", "--all")
        signature = [f"--gpg-sign={self._key.fingerprint}"] if signed else ["--no-gpg-sign"]
        with self._clock(ahead) as dates:
            self._git("commit", "--quiet", "--allow-empty", *signature, "--message", message, **dates)
        self._git("push", "--quiet", "origin", "HEAD")
        return self.head()

    def head(self) -> str:
        """The commit that the next one builds on."""
        return self._git("rev-parse", "HEAD")

    @contextmanager
    def branch(self, name: str) -> Iterator[None]:
        """Push to another branch that starts at this one, for a while."""
        self._git("checkout", "--quiet", "-B", name)
        try:
            yield
        finally:
            self._git("checkout", "--quiet", "--force", BRANCH)

    def clone(self, folder: Path) -> Path:
        """What somebody has who knows nothing but the address of the repository."""
        subprocess.run(["git", "clone", "--quiet", "--branch", BRANCH, self.url, folder], check=True)
        return folder

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """The git server is lost for a while."""
        away = self.bare.with_suffix(".away")
        self.bare.rename(away)
        try:
            yield
        finally:
            away.rename(self.bare)

    @contextmanager
    def _clock(self, ahead: timedelta | None) -> Iterator[dict[str, str]]:
        """What git and gpg take for the time, as far wrong as the clock of a bot's machine."""
        if ahead is None:
            yield {}
            return
        now = datetime.now(UTC) + ahead
        settings = self._key.home / "gpg.conf"
        settings.write_text(f"faked-system-time {_gpg_time(now)}\n", encoding="utf-8")
        try:
            yield dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), now.isoformat())
        finally:
            settings.unlink()

    def _git(self, *arguments: str, **more: str) -> str:
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _BOT.items()}
        environment = {**os.environ, **who, "GNUPGHOME": str(self._key.home), "GIT_CONFIG_GLOBAL": os.devnull} | more
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=self.work, env=environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()


_BOT = {"NAME": "Bot", "EMAIL": "bot@example.invalid"}
