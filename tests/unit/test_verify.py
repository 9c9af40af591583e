"""`ft verify` on a real git history with real gpg signatures."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.audited import PLAIN, authorize, outcome, record, write
from tests.e2e.repositories import SigningKey, signing_key
from tests.platform_copy import expanded_platform
from tools.cli import main
from tools.repository import Repository

MESSAGE = "authorize team-a/plain\n\nMerge-Request: !7"


@dataclass
class Clone:
    """A clone whose last commit is the bot's."""

    root: Path
    key: SigningKey
    public: Path

    def git(self, *arguments: str) -> str:
        """Run git as a person without settings of their own."""
        person = ["-c", "user.name=Bot", "-c", "user.email=bot@bank.example", "-c", "gpg.format=openpgp"]
        environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "GNUPGHOME": str(self.key.home), "HOME": str(self.root)}
        done = subprocess.run(
            ["git", *person, *arguments], cwd=self.root, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, message: str = MESSAGE, *, signed: bool = True) -> str:
        """Commit everything."""
        self.git("add", "--all")
        signature = [f"--gpg-sign={self.key.fingerprint}"] if signed else ["--no-gpg-sign"]
        self.git("commit", "--quiet", "--allow-empty", *signature, "--message", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SigningKey]:
    """The bot's key."""
    with signing_key(tmp_path_factory.mktemp("k") / "g") as made:
        yield made


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SigningKey]:
    """Somebody else's key."""
    with signing_key(tmp_path_factory.mktemp("s") / "g") as made:
        yield made


@pytest.fixture
def clone(tmp_path: Path, key: SigningKey) -> Clone:
    """A platform with one authorized and finished run, committed and signed by the bot."""
    root = expanded_platform(tmp_path / "clone")
    public = tmp_path / "bot.asc"
    public.write_text(key.public)
    made = Clone(root, key, public)
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit("before the bot", signed=False)
    authorize(root, ended=outcome())
    made.commit()
    return made


def verify(clone: Clone, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    """What `ft verify` says of the run, as JSON; its exit code agrees with it."""
    capsys.readouterr()
    keys = options or ("--key", str(clone.public))
    code = main(["verify", str(clone.root / PLAIN), "--repo", str(clone.root), "--format", "json", *keys])
    (found,) = json.loads(capsys.readouterr().out)
    assert code == (0 if found["ok"] else 1)
    return dict(found)


def test_a_run_as_the_bot_committed_it_is_verified(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """Run, merge request, approvers, commit and key are all named."""
    found = verify(clone, capsys)
    assert found["faults"] == []
    assert found["run_id"] == Repository(clone.root).lock(f"{PLAIN}/run.yaml").run_id
    assert (found["merge_request"], found["approvers"]) == (7, ["ewa.lis"])
    assert (found["commit"], found["signed_by"]) == (clone.git("rev-parse", "HEAD"), clone.key.fingerprint)


def test_later_commits_of_others_change_nothing(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """What counts is who last wrote this overlay and this record."""
    bot = clone.git("rev-parse", "HEAD")
    (clone.root / "README.md").write_text("hello\n")
    clone.commit("docs", signed=False)
    assert (verify(clone, capsys)["commit"], verify(clone, capsys)["faults"]) == (bot, [])


def _unsigned_rewrite(clone: Clone) -> None:
    authorize(clone.root, ended=outcome(), at="2026-11-04T10:00:00Z")
    clone.commit(signed=False)


def _rewritten_record(clone: Clone) -> None:
    lock = Repository(clone.root).lock(f"{PLAIN}/run.yaml")
    write(clone.root, record(lock, outcome(hours=0.1)))
    clone.commit("less was used", signed=False)


def _no_record(clone: Clone) -> None:
    shutil.rmtree(clone.root / "audit")
    clone.commit()


def _uncommitted(clone: Clone) -> None:
    authorize(clone.root, ended=outcome(hours=0.1))


def _edited_patch(clone: Clone) -> None:
    file = clone.root / PLAIN / "kustomization.yaml"
    file.write_text(file.read_text() + "# more\n")
    clone.commit()


def _mended_on_disk_only(clone: Clone) -> None:
    file = clone.root / PLAIN / "kustomization.yaml"
    text = file.read_text()
    file.write_text(text.replace("namespace:", "namespace: x #"))
    clone.commit()
    file.write_text(text)


def _left_over(clone: Clone) -> None:
    (clone.root / PLAIN / "extra.yaml").write_text("kind: Job\n")
    clone.commit()


def _edited_lock(clone: Clone) -> None:
    file = clone.root / PLAIN / "run.yaml"
    file.write_text(file.read_text().replace("lora_rank: 16", "lora_rank: 17"))
    clone.commit()


def _other_trailer(clone: Clone) -> None:
    authorize(clone.root, ended=outcome(), at="2026-11-04T10:00:00Z")
    clone.commit("authorize\n\nMerge-Request: !8")


def _no_trailer(clone: Clone) -> None:
    authorize(clone.root, ended=outcome(), at="2026-11-04T10:00:00Z")
    clone.commit("authorize !7")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_unsigned_rewrite, "not signed"),
        (_rewritten_record, "not signed"),
        (_no_record, "is missing or no audit record"),
        (_uncommitted, "differs from git"),
        (_edited_patch, "is not what its lock gives"),
        (_mended_on_disk_only, "which last wrote it"),
        (_left_over, "is not what its lock gives"),
        (_edited_lock, "hash and run id are not those"),
        (_other_trailer, "names merge request !8"),
        (_no_trailer, "names merge request none"),
    ],
)
def test_whatever_is_not_as_approved_is_found(
    clone: Clone, capsys: pytest.CaptureFixture[str], change: Callable[[Clone], None], words: str
) -> None:
    """Each way around the bot has a fault of its own, which says what to do."""
    change(clone)
    faults = verify(clone, capsys)["faults"]
    assert any(words in fault for fault in faults), faults
    assert all("; allowed: " in fault for fault in faults)


def test_a_run_that_nobody_authorized_is_no_approved_one(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """An overlay that was expanded by hand is told from one that the bot wrote."""
    folder = clone.root / "overlays/dev/team-b/cpu"
    assert main(["verify", str(folder), "--repo", str(clone.root), "--key", str(clone.public)]) == 1
    assert "is not authorized; allowed: overlays that the bot wrote" in capsys.readouterr().out


def test_another_key_is_refused(clone: Clone, stranger: SigningKey, capsys: pytest.CaptureFixture[str]) -> None:
    """The right content signed by somebody else is not the bot's."""
    other = Clone(clone.root, stranger, clone.public)
    authorize(clone.root, ended=outcome(), at="2026-11-04T10:00:00Z")
    other.commit()
    faults = verify(clone, capsys)["faults"]
    assert any("signed by a key that is not given" in fault for fault in faults)


def test_without_a_key_the_environment_names_it(
    clone: Clone, stranger: SigningKey, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The caller's own keyring is used, and only the keys that environments/<env>.yaml names are the bot's."""
    environment = clone.root / "environments/dev.yaml"
    monkeypatch.setenv("GNUPGHOME", str(clone.key.home))
    command = ["verify", str(clone.root / PLAIN), "--repo", str(clone.root)]
    text = environment.read_text() + "git:\n  url: https://gitlab.example/ml/llm-finetuning.git\n"
    environment.write_text(f'{text}  signing_keys: ["{clone.key.key_id}"]\n')
    assert main(command) == 0
    environment.write_text(f'{text}  signing_keys: ["{stranger.key_id}"]\n')
    assert main(command) == 1
    assert f"allowed: {stranger.key_id} (git.signing_keys of environments/dev.yaml)" in capsys.readouterr().out


def test_a_repository_cannot_bring_its_own_checker(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """A gpg program in the clone's configuration is not asked."""
    liar = clone.root / "liar"
    liar.write_text(
        f"#!/bin/sh\necho '[GNUPG:] VALIDSIG {clone.key.fingerprint} x 1 0 x x x x x {clone.key.fingerprint}' >&2\n"
    )
    liar.chmod(0o755)
    clone.git("config", "gpg.program", str(liar))
    _unsigned_rewrite(clone)
    assert any("not signed" in fault for fault in verify(clone, capsys)["faults"])


def test_a_shallow_clone_is_refused(clone: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the history nobody can say who last wrote a file."""
    shallow = tmp_path / "shallow"
    clone.git("clone", "--quiet", "--depth=1", clone.root.as_uri(), str(shallow))
    command = ["verify", str(shallow / PLAIN), "--repo", str(shallow), "--key", str(clone.public)]
    assert main(command) == 2
    assert "git fetch --unshallow" in capsys.readouterr().err


def test_a_file_without_a_key_is_refused(clone: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong --key is wrong usage, not a bad signature."""
    (tmp_path / "empty.asc").write_text("no key\n")
    command = ["verify", str(clone.root / PLAIN), "--repo", str(clone.root), "--key"]
    assert main([*command, str(tmp_path / "empty.asc")]) == 2
    assert main([*command, str(tmp_path / "absent.asc")]) == 2
    assert "gpg --armor --export" in capsys.readouterr().err


def test_a_key_that_expired_since_still_proves_what_it_signed(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """Records are read years later, when the bot has another key."""
    home = clone.root.parent / "o"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    (home / "gpg.conf").write_text("faked-system-time 20200102T030405\n")
    make = ["--passphrase", "", "--quick-generate-key", "Old <old@bank.example>", "ed25519", "sign", "1y"]
    subprocess.run([*gpg, *make], check=True, capture_output=True)
    try:
        listed = subprocess.run(
            [*gpg, "--list-keys", "--with-colons"], check=True, capture_output=True, text=True
        ).stdout
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        armour = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True, text=True).stdout
        old = Clone(clone.root, SigningKey(home, fingerprint, armour), clone.root.parent / "old.asc")
        old.public.write_text(armour)
        authorize(clone.root, ended=outcome(), at="2020-01-02T03:00:00Z")
        old.commit()
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
    found = verify(old, capsys)
    assert (found["faults"], found["signed_by"]) == ([], fingerprint)


def test_text_names_each_overlay_and_counts(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a verified run, one a fault, and the sum."""
    assert main(["verify", "--all", "--repo", str(clone.root), "--key", str(clone.public)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"{PLAIN}: plain-") and f"signed by {clone.key.key_id}" in line for line in lines)
    assert lines[-1] == "4 verified: 1 as approved, 3 with faults"
