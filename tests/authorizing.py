"""A bank's GitLab, a bot with a real key and a real store beside it, and merge requests as people make them."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gitlab import bare
from tests.gitlab.model import Merge
from tests.gitlab.site import Site
from tools.bot.authorize.round import Bot, Result, authorize
from tools.bot.forge import Forge
from tools.bot.mirror import Mirror, Signer
from tools.bot.store import Store
from tools.formats.audit import Audit
from tools.formats.lock import Lock
from tools.plan.planner import Planner
from tools.repository import Repository

EXP = "experiments/team-a/exp-002.yaml"
OVERLAY = "overlays/dev/team-a/exp-002"


@dataclass
class Bank:
    """Everything that a round meets. `terminated`: what Argo CD was asked to stop."""

    site: Site
    work: Path
    home: Path
    key: str
    terminated: list[tuple[str, str]] = field(default_factory=list)

    def bot(self, work: Path | None = None) -> Bot:
        """A bot; with a work folder of its own it is a second one."""
        folder = work or self.work
        folder.mkdir(parents=True, exist_ok=True)
        gitlab, project, account = self.site.gitlab, self.site.project, self.site.bot
        return Bot(
            Forge(gitlab.url, project.id, account.token),
            self.mirror(folder),
            Store(folder / "store.sqlite"),
            terminate=lambda tenant, name: self.terminated.append((tenant, name)),
            sleep=lambda _seconds: None,
        )

    def mirror(self, folder: Path) -> Mirror:
        """The mirror in a work folder."""
        token = folder / "token"
        token.write_text(self.site.bot.token)
        signer = Signer("ft bot", "bot@bank.example", self.key, self.home)
        return Mirror(folder / "mirror.git", self.site.gitlab.clone_url(self.site.project), token, signer)

    def round(self, environment: str = "dev", commit: str | None = None) -> Result:
        """One round of the bot."""
        return authorize(self.bot(), environment, commit)

    def show(self, merge: Merge) -> list[Lock]:
        """What the comment shows for a merge request's head: the runs of main with its files over it."""
        project = self.site.project
        tree = bare.git(project.bare, "merge-tree", "--write-tree", "main", merge.head).splitlines()[0]
        names = bare.git(project.bare, "diff", "--name-only", "--no-renames", "main", tree).splitlines()
        with self.files(tree) as repository:
            planner = Planner(repository)
            locks = [
                planner.plan(name).lock
                for name in names
                if name.startswith("experiments/") and (repository.root / name).exists()
            ]
        store = Store(self.work / "store.sqlite")
        rows = [(lock.run.environment, lock.run.tenant, lock.run.name, lock.run_id, lock.sha256) for lock in locks]
        store.save_shown(merge.iid, merge.head, rows, datetime.now(UTC))
        return locks

    def ready(self, merge: Merge, *approvers: str) -> Merge:
        """Shown, then approved."""
        self.show(merge)
        for name in approvers or ("maria.wisniewska",):
            self.site.approve(name, merge)
        return merge

    def merged(self, files: Mapping[str, Any] | None = None, how: str | None = None, **proposal: Any) -> Merge:
        """A proposal of anna.nowak's that went the right way."""
        anna = self.site.user("anna.nowak")
        merge = self.ready(self.site.propose(anna, files or self.site.experiment(), **proposal))
        self.site.merge("maria.wisniewska", merge, how)
        return merge

    @contextmanager
    def files(self, commit: str = "main") -> Iterator[Repository]:
        """A commit or tree of the project as a folder, read with git alone."""
        archive = subprocess.run(
            ["git", "-C", str(self.site.project.bare), "archive", commit], check=True, capture_output=True
        ).stdout
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(fileobj=BytesIO(archive)) as tar:
                tar.extractall(folder, filter="data")
            yield Repository(Path(folder))

    def names(self, folder: str, commit: str = "main") -> list[str]:
        """Files below a folder at a commit."""
        return bare.git(self.site.project.bare, "ls-tree", "-r", "--name-only", commit, "--", folder).splitlines()

    def audits(self, environment: str = "dev") -> list[Audit]:
        """Every audit record on main."""
        with self.files() as repository:
            paths = self.names(f"audit/{environment}/")
            found = [repository.read(path, Audit).value for path in paths]
        return [each for each in found if each is not None]

    def reasons(self, result: Result) -> str:
        """All that was said against the runs of a round."""
        return " | ".join(reason for each in result.refused for reason in each.verdict.reasons)

    def commits(self) -> list[str]:
        """The bot's own commits on main, newest first."""
        log = bare.git(self.site.project.bare, "log", "--format=%H %G?", "main").splitlines()
        return [line.split()[0] for line in log if not line.endswith(" N")]


@contextmanager
def signing_home(home: Path) -> Iterator[str]:
    """A signing key without a password; its fingerprint. Its agent, which gpg starts in a session of its own, ends with it."""
    home.mkdir(mode=0o700, parents=True)
    try:
        yield _make_key(home)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)


def _make_key(home: Path) -> str:
    environment = {**os.environ, "GNUPGHOME": str(home)}
    arguments = ["--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run(
        ["gpg", *arguments, "--quick-generate-key", "ft bot <bot@bank.example>", "ed25519", "sign", "never"],
        check=True, capture_output=True, env=environment,
    )  # fmt: skip
    listed = subprocess.run(
        ["gpg", "--list-keys", "--with-colons"], check=True, capture_output=True, text=True, env=environment
    ).stdout
    return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))


def changed(text: str, **keys: Any) -> str:
    """An experiment's YAML with other values."""
    return yaml.safe_dump({**yaml.safe_load(text), **keys}, sort_keys=False)


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The bot's key."""
    # Sockets of gpg's agent have short paths only.
    home = tmp_path_factory.mktemp("g") / "h"
    with signing_home(home) as fingerprint:
        yield home, fingerprint
