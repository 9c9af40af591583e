"""The jobs `train` and `register` for real: gitlab-ci-local, `ft bot serve` as a process, and the GitLab stand-in.

A member opens a merge request, an approver approves and merges it, the bot hears of each by webhook, comments, authorizes and
signs. Where the run stands is then written into the bot's store, as its follower does that asks cluster and MLflow.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from runner.completion import Completion
from runner.provenance import tags
from runner.registry import proof
from tests.e2e.repositories import SigningKey
from tests.gitlab.fixtures import bot_key, gitlab, site
from tests.gitlab.model import Merge
from tests.gitlab.site import Site
from tests.pipeline_clone import ROOT, Clone, make
from tools.bot.store import Store
from tools.expand.locks import read
from tools.formats.lock import Lock
from tools.formats.model import File
from tools.repository import Repository

__all__ = ["bot_key", "gitlab", "site"]

pytestmark = [
    # The first job installs its environment, which takes minutes where the machine has other work.
    pytest.mark.timeout(1800),
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on PATH: gitlab-ci-local needs Node 18"),
    pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not on PATH: the bot signs its commits"),
]
SECRET = "the-webhooks-secret-token"
FILE, OVERLAY = "experiments/team-a/exp-002.yaml", "overlays/dev/team-a/exp-002"


@dataclass(frozen=True)
class Bot:
    """A running `ft bot serve`."""

    url: str
    work: Path

    def say(self, lock: Lock, state: str, **more: Any) -> None:
        """What the follower saw of a run."""
        store = Store(self.work / "store.sqlite")
        run = lock.run
        found = {"run_id": lock.run_id, "sha256": lock.sha256, "environment": run.environment, "state": state, **more}
        store.save_run(lock.sha256, lock.run_id, {**found, "experiment": FILE, "merge_request": 1})
        store.close()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone of the working tree."""
    return make(tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("clone") / "platform")


@pytest.fixture
def bot(site: Site, bot_key: SigningKey, tmp_path: Path) -> Iterator[Bot]:
    """The bot of the site, listening, with its webhook in the project."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, work = f"http://127.0.0.1:{port}", tmp_path / "bot"
    work.mkdir()
    (work / "token").write_text(site.bot.token)
    (work / "secret").write_text(SECRET)
    (work / "kubeconfig").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config"}))
    settings = {
        "version": 1,
        "url": url,
        "work": str(work),
        "environments": ["dev"],
        "gitlab": {
            "url": site.gitlab.url,
            "project": site.project.id,
            "token_file": str(work / "token"),
            "webhook_secret_file": str(work / "secret"),
        },
        "signing": {"email": "ft-bot@bank.example", "key": bot_key.fingerprint, "gnupghome": str(bot_key.home)},
        "kubeconfig": str(work / "kubeconfig"),
        "reconcile_every": "1d",
        "follow_every": "1d",
    }
    (work / "bot.yaml").write_text(yaml.safe_dump(settings))
    site.gitlab.add_hook(site.project, f"{url}/webhook", SECRET)
    command = [str(ROOT / ".venv/bin/ft"), "bot", "serve", "--config", str(work / "bot.yaml"), "--port", str(port)]
    with (work / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until(lambda: answers(f"{url}/healthz"), "the bot is up")
            yield Bot(url, work)
        finally:
            process.terminate()
            process.wait(30)
    assert site.bot.token not in (work / "log").read_text()


def answers(url: str) -> bool:
    """Whether something answers 200 there."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def until(seen: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Wait for something to be there; it is returned."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := seen():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def proposed(site: Site) -> Merge:
    """A merge request of anna.nowak with exp-002, which the bot has commented."""
    publish = {"model_name": "topic-sorter-2", "merge": True}
    merge = site.propose(site.user("anna.nowak"), site.experiment(name="exp-002", publish=publish))
    until(lambda: [note for note in merge.notes if note.author.id == site.bot.id], "the bot's comment")
    return merge


def locked(site: Site, folder: Path) -> Lock:
    """The lock of exp-002, once deployed/dev has it."""
    shown = subprocess.run(
        ["git", "show", f"deployed/dev:{OVERLAY}/run.yaml"], cwd=site.project.bare, check=False, capture_output=True
    )
    if shown.returncode:
        raise LookupError(shown.stderr)
    (folder / OVERLAY).mkdir(parents=True, exist_ok=True)
    (folder / OVERLAY / "run.yaml").write_bytes(shown.stdout)
    found = read(Repository(folder), OVERLAY).value
    assert found is not None
    return found


def authorized(site: Site, folder: Path) -> Lock:
    """The same, waited for."""

    def look() -> Lock | None:
        try:
            return locked(site, folder)
        except LookupError:
            return None

    found: Lock = until(look, "the overlay on deployed/dev")
    return found


def manifest(lock: Lock) -> Completion:
    """What the runner writes at the end of this run."""
    assert lock.authorized is not None
    return Completion(
        version=1, run_id=lock.run_id, run_sha256=lock.sha256, attempt=1, steps_done=80, steps_planned=80, rows_expected=400,
        rows_trained=320, metrics={}, training_seconds=60.0, started_at="2026-11-23T08:00:00Z",
        finished_at="2026-11-23T08:01:00Z", files={"adapter_model.safetensors": File(sha256="f" * 64, size=10)},
        versions={}, datasets={each.name: each.sha256 for each in lock.run.datasets}, image=lock.run.image,
        git_commit=lock.authorized.commit, mlflow_run_id=None,
    )  # fmt: skip


def jobs(clone: Clone, bot: Bot, site: Site, commit: str, *names: str) -> subprocess.CompletedProcess[str]:
    """Run jobs of main's pipeline for a merged commit, with an id token as GitLab makes it for them."""
    issuer = site.gitlab.issuer
    token = issuer.token(site.gitlab.url, site.project, site.user("anna.nowak"), bot.url, exp=int(time.time()) + 3600)
    variables = {
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_REF_PROTECTED": "true",
        "CI_COMMIT_SHA": commit,
        "BOT_URL": bot.url,
        "BOT_ID_TOKEN": token,
    }
    return clone.run(*names, **variables)


def registered(bot: Bot, lock: Lock, **changed: str) -> None:
    """Say that the run's model is registered, with these tags changed."""
    model = {"name": "team-a.topic-sorter-2", "version": 1, "tags": {**tags(lock), **changed}}
    bot.say(lock, "registered", model=model, completion=json.loads(proof(manifest(lock))["completion"]))


@contextmanager
def follower(bot: Bot, clone: Clone, lock: Lock) -> Iterator[None]:
    """Lets the run go on while the job looks on: it trains and is registered."""
    log = clone.folder / ".gitlab-ci-local/output/train.log"

    def shown(words: str, say: Callable[[], None]) -> None:
        """Say it until the job shows it: the bot's own look at the run, soon after the merge, says that nothing runs yet."""

        def look() -> bool:
            say()
            return log.exists() and words in log.read_text()

        until(look, words, seconds=300)

    def go_on() -> None:
        for percent in (10.0, 60.0):
            shown(
                f"running  {percent:.0f} %",
                partial(bot.say, lock, "running", percent=percent, loss=1.5, eta_seconds=90),
            )
        shown("registered", partial(registered, bot, lock))

    thread = Thread(target=go_on)
    thread.start()
    yield
    thread.join()


def test_an_approved_run_is_followed_until_its_model_is_checked(
    clone: Clone, bot: Bot, site: Site, tmp_path: Path
) -> None:
    """Train shows the verdict and the progress, register compares lock, tags and manifest; other tags fail the pipeline."""
    clone.merge_request("main-with-exp-002", {FILE: ROOT / "experiments/team-a/exp-001.yaml"})
    clone.git("remote", "set-url", "origin", str(site.project.bare))
    merge = proposed(site)
    site.approve("maria.wisniewska", merge)
    commit = site.merge("anna.nowak", merge)
    lock = authorized(site, tmp_path / "tree")
    with follower(bot, clone, lock):
        done = jobs(clone, bot, site, commit, "train", "register")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert f"{lock.run_id}  running  60 %" in said
    assert f"{lock.run_id}  registered  team-a.topic-sorter-2 version 1" in said
    (report,) = json.loads((clone.artifacts("register") / "reports/registered.json").read_text()).values()
    assert report["differences"] == []

    registered(bot, lock, image="registry.example/other@sha256:0")
    done = jobs(clone, bot, site, commit, "register")
    assert done.returncode != 0
    assert "tag image is registry.example/other" in done.stdout + done.stderr


def test_a_run_that_nobody_approved_fails_the_pipeline_with_the_reason(clone: Clone, bot: Bot, site: Site) -> None:
    """Merged without an approval: no overlay, and the job says what the bot's verdict says."""
    clone.merge_request("main-without-approval", {FILE: ROOT / "experiments/team-a/exp-001.yaml"})
    merge = proposed(site)
    commit = site.merge("anna.nowak", merge)
    done = jobs(clone, bot, site, commit, "train")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "0 of 1 approvals by the tenant's approvers" in said
    with pytest.raises(LookupError):
        locked(site, Path(os.devnull))
