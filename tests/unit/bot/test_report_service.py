"""`ft bot report` over real HTTP and real git: GitLab stand-in, mirror, store, and the platform's own data."""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import threading
from pathlib import Path

import pytest
import yaml

from tests.e2e.repositories import SigningKey
from tests.gitlab.bare import Link
from tests.gitlab.model import Merge, Note
from tests.gitlab.site import Site
from tests.unit.cluster.standin import StandIn, serving
from tools.bot.authorize.command import run as authorize
from tools.bot.errors import ForgeAway, ForgeRefused, MirrorAway
from tools.bot.report.command import run
from tools.bot.report.text import MARKER
from tools.bot.settings import BotSettings, read
from tools.bot.store import Store
from tools.cli import main
from tools.repository import Repository

EXPERIMENT = "experiments/team-a/exp-002.yaml"


class Bot:
    """The bot's settings over a site, and its command."""

    def __init__(self, site: Site, folder: Path, key: SigningKey) -> None:
        self.site = site
        self.folder = folder
        token = folder / "token"
        token.write_text(f"{site.bot.token}\n")
        file = folder / "bot.yaml"
        content = {
            "version": 1,
            "url": "https://bot.example",
            "work": str(folder / "work"),
            "environments": ["dev", "prod"],
            "gitlab": {"url": site.gitlab.url, "project": site.project.id, "token_file": str(token)},
            "signing": {"email": "ft-bot@bank.example", "key": key.fingerprint, "gnupghome": str(key.home)},
            "kubeconfig": str(folder / "no-such-kubeconfig"),
            "tracking_uri": "http://127.0.0.1:9",
        }
        file.write_text(yaml.safe_dump(content))
        self.settings: BotSettings = read(file)

    def report(self, *numbers: int, follow: bool = False) -> int:
        """`ft bot report`."""
        return run(argparse.Namespace(merge_request=list(numbers), follow=follow), self.settings)

    def comments(self, merge: Merge) -> list[Note]:
        """The bot's comments."""
        return [note for note in merge.notes if note.author is self.site.bot]

    def comment(self, merge: Merge) -> str:
        """The one comment."""
        (note,) = self.comments(merge)
        return note.body

    @property
    def store(self) -> Store:
        """What it remembers."""
        return self.settings.open_store()


@pytest.fixture
def bot(site: Site, tmp_path: Path, bot_key: SigningKey) -> Bot:
    """A bot that has not seen the site yet."""
    (tmp_path / "bot").mkdir()
    return Bot(site, tmp_path / "bot", bot_key)


def test_a_bots_very_first_report_takes_six_calls_other_first_ones_five_and_repeated_ones_three(bot: Bot) -> None:
    """Every report stays within six calls of GitLab's API, that of an empty store too, which asks for the project's address."""
    first = bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment(name="exp-009"))
    merge = bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment())
    for iid, calls in ((first.iid, 6), (merge.iid, 5), (merge.iid, 3)):
        bot.site.gitlab.forget_calls()
        assert bot.report(iid) == 0
        assert bot.site.gitlab.count() == calls
    assert "### ✅ Ready for approval: merging will start 1 training run" in bot.comment(merge)


def test_what_was_shown_is_what_main_gives_after_the_merge(bot: Bot, tmp_path: Path) -> None:
    """The remembered full hash is the one of the overlay that `ft expand` makes from main after the merge."""
    merge = bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment())
    bot.report(merge.iid)
    (shown,) = bot.store.shown(merge.iid, merge.head)
    bot.site.approve("maria.wisniewska", merge)
    bot.site.merge("maria.wisniewska", merge, "squash")
    mirror = bot.settings.open_mirror()
    mirror.fetch()
    mirror.materialise(bot.site.main, tmp_path / "main")
    assert main(["expand", str(tmp_path / "main" / EXPERIMENT), "--repo", str(tmp_path / "main")]) == 0
    lock = Repository(tmp_path / "main").lock(f"overlays/{shown.environment}/team-a/exp-002/run.yaml")
    assert (shown.sha256, shown.run_id) == (lock.sha256, lock.run_id)
    assert f"`{lock.run_id}`" in bot.comment(merge)


def test_main_that_moved_on_is_what_counts(bot: Bot) -> None:
    """A branch older than a change of main gets the run id of the merge result, not of its own tree."""
    site = bot.site
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    bot.report(merge.iid)
    (before,) = bot.store.shown(merge.iid, merge.head)
    file = "environments/dev.yaml"
    text = bot.settings.open_mirror().file(site.main, file)
    assert text is not None
    site.gitlab.push(
        site.bot, site.project, "main", {file: re.sub(rb"sha256:[0-9a-f]{64}", b"sha256:" + b"9" * 64, text)}
    )
    bot.report(merge.iid)
    (after,) = bot.store.shown(merge.iid, merge.head)
    assert after.sha256 != before.sha256
    assert len(bot.comments(merge)) == 1


def test_a_conflict_with_main_is_said(bot: Bot) -> None:
    """What cannot be merged cannot be judged; the comment says to rebase."""
    site = bot.site
    merge = site.propose(site.user("anna.nowak"), site.experiment(description="One"))
    site.gitlab.push(site.bot, site.project, "main", site.experiment(description="Another"))
    bot.report(merge.iid)
    assert "### ❌ Cannot be judged: it conflicts with the target branch; rebase it" in bot.comment(merge)
    assert bot.store.shown(merge.iid, merge.head) == []


def test_a_merge_requests_files_are_data(bot: Bot) -> None:
    """A symbolic link, a submodule's place and code of the merge request are not followed or run."""
    site = bot.site
    files = {
        **site.experiment(),
        "experiments/team-a/exp-003.yaml": Link("/etc/passwd"),
        "tools/__init__.py": "raise SystemExit('the bot runs code of a merge request')",
        ".gitattributes": "* filter=evil\n",
    }
    merge = site.propose(site.user("anna.nowak"), files)
    assert bot.report(merge.iid) == 0
    body = bot.comment(merge)
    assert "symbolic link" in body
    assert "| [tools/\\_\\_init\\_\\_\\.py]" in body
    assert "root:" not in body


def test_a_head_that_gitlab_does_not_have_is_for_later(bot: Bot) -> None:
    """A merge request without a commit, as GitLab shows one whose branch was just made or is gone: nothing is written for it."""
    merge = bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment())
    for head in ("", "e" * 40):
        merge.head = head
        with pytest.raises(MirrorAway, match="has not made its head commit available; the bot tries again later"):
            bot.report(merge.iid)
    assert bot.comments(merge) == []


def test_a_large_file_where_data_belongs_is_refused_with_its_remedy(bot: Bot) -> None:
    """Nine megabytes among the experiments are not read; the comment says what to do."""
    files = {**bot.site.experiment(), "experiments/team-a/weights.bin": b"\0" * (9 * 1024 * 1024)}
    merge = bot.site.propose(bot.site.user("anna.nowak"), files)
    bot.report(merge.iid)
    assert "### ❌ Cannot be judged: " in bot.comment(merge)
    assert "take it out of git" in bot.comment(merge)


def test_artifacts_of_the_pipeline_are_never_asked_for(bot: Bot) -> None:
    """Whatever a merge request's pipeline left, 200 MB of HTML or paths outside the tree: no call reads it."""
    merge = bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment())
    bot.report(merge.iid)
    assert bot.site.gitlab.count(".*(artifacts|jobs|pipelines|packages).*") == 0


def test_a_forks_merge_request_is_reported(bot: Bot) -> None:
    """The head of a fork is read from the project's own merge request ref."""
    site = bot.site
    fork = site.gitlab.fork(site.project, site.user("anna.nowak"))
    merge = site.propose(site.user("anna.nowak"), site.experiment(), source=fork)
    bot.report(merge.iid)
    assert "merging will start 1 training run" in bot.comment(merge)


def test_a_push_while_the_report_is_made_leads_to_the_newer_comment(bot: Bot) -> None:
    """The report starts again with the new head; only that is remembered as shown."""
    site = bot.site
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    old = merge.head

    def push() -> None:
        files = site.experiment(description="Later")
        site.gitlab.push(site.user("anna.nowak"), site.project, merge.source_branch, files)

    site.gitlab.faults.before("GET .*/notes", push)
    bot.report(merge.iid)
    assert merge.head[:8] in bot.comment(merge)
    assert bot.store.shown(merge.iid, old) == []
    assert len(bot.store.shown(merge.iid, merge.head)) == 1


def test_what_nobody_saw_is_not_on_record_as_shown(bot: Bot) -> None:
    """When GitLab refuses the comment, no approval can refer to it."""
    merge = bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment())
    bot.site.gitlab.faults.add(403, "POST .*/notes")
    with pytest.raises(ForgeRefused):
        bot.report(merge.iid)
    assert bot.store.shown(merge.iid, merge.head) == []


def test_one_that_fails_does_not_keep_the_others(bot: Bot, capsys: pytest.CaptureFixture[str]) -> None:
    """Without numbers all open ones are reported; the fault of one is raised in the end."""
    site = bot.site
    first = site.propose(site.user("anna.nowak"), site.experiment())
    second = site.propose(site.user("anna.nowak"), site.experiment(name="exp-003"))
    site.gitlab.faults.add(403, f"POST .*/{first.iid}/notes")
    with pytest.raises(ForgeRefused):
        bot.report()
    assert (bot.comments(first), len(bot.comments(second))) == ([], 1)
    assert site.bot.token not in capsys.readouterr().out


def test_after_the_merge_the_same_comment_follows(bot: Bot) -> None:
    """Merged and not authorized yet: the comment waits; the run stays among those that are followed."""
    site = bot.site
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    bot.report(merge.iid)
    (note,) = bot.comments(merge)
    site.approve("maria.wisniewska", merge)
    site.merge("maria.wisniewska", merge)
    bot.report(merge.iid)
    assert bot.comments(merge) == [note]
    assert "### ⏳ `team-a/exp-002`: waits for the bot" in note.body
    assert bot.store.following({"registered"}) == [merge.iid]


def test_what_the_comment_showed_is_what_is_authorized(bot: Bot) -> None:
    """Reported, approved, merged, authorized: the overlay on main is of the run that the comment named, and it is followed."""
    site = bot.site
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    bot.report(merge.iid)
    (shown,) = bot.store.shown(merge.iid, merge.head)
    site.approve("maria.wisniewska", merge)
    site.merge("maria.wisniewska", merge, "squash")
    authorize(argparse.Namespace(environment=shown.environment, commit=None), bot.settings)
    overlay = f"overlays/{shown.environment}/team-a/exp-002/run.yaml"
    mirror = bot.settings.open_mirror()
    mirror.fetch()
    lock = mirror.file(site.main, overlay)
    assert lock is not None
    assert shown.sha256.encode() in lock
    bot.report(merge.iid)
    body = bot.comment(merge)
    assert "### ⏳ `team-a/exp-002`: authorized, about to start" in body
    assert "| **Authorized by** | maria\\.wisniewska; [audit record]" in body


def test_a_cancellation_is_followed_to_its_end(bot: Bot) -> None:
    """Proposed, merged, carried out: each time the comment of the cancelling merge request says so."""
    site, anna = bot.site, bot.site.user("anna.nowak")
    start = site.propose(anna, site.experiment())
    bot.report(start.iid)
    (shown,) = bot.store.shown(start.iid, start.head)
    site.approve("maria.wisniewska", start)
    site.merge("maria.wisniewska", start)
    bot.report(start.iid)
    arguments = argparse.Namespace(environment=shown.environment, commit=None)
    authorize(arguments, bot.settings)
    stop = site.propose(anna, site.experiment(state="cancelled"))
    bot.report(stop.iid)
    assert "### ✅ Ready to merge: merging will stop 1 run" in bot.comment(stop)
    assert f"| `{shown.run_id}` | `{shown.environment}` |" in bot.comment(stop)
    site.merge("anna.nowak", stop)
    bot.report(stop.iid)
    assert "`team-a/exp-002`: waits for the bot" in bot.comment(stop)
    authorize(arguments, bot.settings)
    bot.report(follow=True)
    assert "`team-a/exp-002`: cancelled" in bot.comment(stop)
    assert "`team-a/exp-002`: cancelled" in bot.comment(start)


def test_a_merge_without_approval_is_refused_in_the_same_comment(bot: Bot) -> None:
    """Merged without approval: the comment says why nothing starts and how to go on."""
    site = bot.site
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    bot.report(merge.iid)
    (shown,) = bot.store.shown(merge.iid, merge.head)
    site.merge("maria.wisniewska", merge)
    authorize(argparse.Namespace(environment=shown.environment, commit=None), bot.settings)
    bot.report(merge.iid)
    body = bot.comment(merge)
    assert "### ⛔ `team-a/exp-002`: not authorized" in body
    assert "- 0 of 1 approvals by the tenant's approvers" in body


def test_a_refusal_shows_its_reasons(bot: Bot) -> None:
    """The reasons of the verdict stand in the comment, and then it is over."""
    site = bot.site
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    bot.report(merge.iid)
    (shown,) = bot.store.shown(merge.iid, merge.head)
    site.merge("maria.wisniewska", merge)
    row = {
        "experiment": EXPERIMENT,
        "environment": shown.environment,
        "run_id": shown.run_id,
        "sha256": shown.sha256,
        "attempt": 1,
        "state": "refused",
        "merge_request": merge.iid,
        "reasons": ["0 of 1 approvals by the tenant's approvers before the merge"],
    }
    bot.store.save_verdict(
        str(merge.merge_commit), shown.environment, {"state": "decided", "runs": [row], "reasons": []}
    )
    bot.report(follow=False)
    body = bot.comment(merge)
    assert "### ⛔ `team-a/exp-002`: not authorized" in body
    assert "- 0 of 1 approvals by the tenant's approvers before the merge" in body
    assert bot.store.following({"refused"}) == []


def test_following_reads_mlflow_and_answers_the_pipeline(bot: Bot, tmp_path: Path) -> None:
    """With an overlay on main the comment shows MLflow's progress, and the store what the service answers."""
    site = bot.site
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    bot.report(merge.iid)
    site.merge("maria.wisniewska", merge)
    bot.report(merge.iid)
    mirror = bot.settings.open_mirror()
    mirror.fetch()
    mirror.materialise(site.main, tmp_path / "main")
    main(["expand", str(tmp_path / "main" / EXPERIMENT), "--repo", str(tmp_path / "main")])
    (shown,) = bot.store.shown(merge.iid, merge.head)
    folder = tmp_path / "main" / "overlays" / shown.environment / "team-a" / "exp-002"
    overlay = {
        f"overlays/{shown.environment}/team-a/exp-002/{file.name}": file.read_bytes() for file in folder.iterdir()
    }
    site.gitlab.push(site.bot, site.project, "main", overlay)
    with serving(StandIn()) as mlflow:
        metrics = [{"key": "progress/percent", "value": 42.0, "timestamp": 1, "step": 5}]
        found = {"info": {"run_id": "0a1b"}, "data": {"metrics": metrics, "tags": []}}
        mlflow.answers["/api/2.0/mlflow/experiments/get-by-name"] = {"experiment": {"experiment_id": "7"}}
        mlflow.answers["/api/2.0/mlflow/runs/search"] = {"runs": [found]}
        bot.settings = bot.settings.model_copy(update={"tracking_uri": mlflow.url})
        bot.report(follow=True)
        first = bot.comments(merge)[0].updated_at
        bot.report(follow=True)
    assert bot.comments(merge)[0].updated_at == first  # no news
    assert "`team-a/exp-002`: training, 42 %" in bot.comment(merge)
    answer = bot.store.run(shown.sha256)
    assert answer is not None
    assert (answer["state"], answer["percent"], answer["experiment"]) == ("running", 42.0, EXPERIMENT)
    json.dumps(answer)


def test_a_closed_merge_request_keeps_its_comment_and_gets_none(bot: Bot) -> None:
    """Closing says in the comment that nothing starts; a closed one without a comment stays without."""
    site = bot.site
    first = site.propose(site.user("anna.nowak"), site.experiment())
    second = site.propose(site.user("anna.nowak"), site.experiment(name="exp-003"))
    bot.report(first.iid)
    for merge in (first, second):
        site.gitlab.close(site.user("anna.nowak"), site.project, merge)
        bot.report(merge.iid)
    assert "Closed without a merge: nothing starts" in bot.comment(first)
    assert bot.comments(second) == []


def test_a_merge_without_experiments_says_that_nothing_starts(bot: Bot) -> None:
    """A change of a page has a comment, before and after the merge."""
    site = bot.site
    merge = site.propose(site.user("anna.nowak"), {"docs/page.md": "# A page\n"})
    bot.report(merge.iid)
    assert bot.comment(merge).splitlines()[1] == "### ⚠️ Needs a platform admin's approval; no training starts"
    site.merge("piotr.admin", merge)
    bot.report(merge.iid)
    assert "### ✅ Merged: no training was to start" in bot.comment(merge)


def test_a_merge_request_into_another_branch_is_left_alone(bot: Bot) -> None:
    """Nothing but main is ever deployed, so there is nothing to say about other branches."""
    site = bot.site
    site.gitlab.push(site.user("anna.nowak"), site.project, "feature", {"a": "b"})
    site.gitlab.push(site.user("anna.nowak"), site.project, "topic", site.experiment())
    merge = site.gitlab.open(site.user("anna.nowak"), site.project, "topic", target="feature")
    assert bot.report(merge.iid) == 0
    assert bot.report() == 0
    assert bot.comments(merge) == []


def test_a_lost_store_costs_no_second_comment(bot: Bot) -> None:
    """With its memory gone the bot finds its comment, and shows and remembers the run again."""
    merge = bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment())
    bot.report(merge.iid)
    for file in bot.settings.work.glob("store.sqlite*"):
        file.unlink()
    bot.report(merge.iid)
    assert len(bot.comments(merge)) == 1
    assert len(bot.store.shown(merge.iid, merge.head)) == 1


@pytest.mark.parametrize("what", ["half", 500, "html"])
def test_gitlab_being_away_is_for_later_and_shows_no_token(
    what: int | str, bot: Bot, capsys: pytest.CaptureFixture[str]
) -> None:
    """No answer from GitLab ends the command with a fault that may be tried again; nothing was written."""
    merge = bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment())
    bot.report(bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment(name="exp-009")).iid)
    bot.site.gitlab.faults.add(what, "GET .*/merge_requests/1$", times=10)
    with pytest.raises((ForgeAway, MirrorAway)) as raised:
        bot.report(merge.iid)
    assert bot.comments(merge) == []
    assert bot.site.bot.token not in str(raised.value) + capsys.readouterr().out


def test_reports_at_once_end_in_one_comment(bot: Bot) -> None:
    """A webhook and a scheduled pipeline report the same merge request at the same moment: one comment, complete."""
    merge = bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment())
    faults: list[BaseException] = []

    def once() -> None:
        try:
            bot.report(merge.iid)
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            faults.append(error)

    threads = [threading.Thread(target=once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert "merging will start 1 training run" in bot.comment(merge)


def test_the_command_line_reports_by_number(bot: Bot, capsys: pytest.CaptureFixture[str]) -> None:
    """`ft bot report --merge-request N` writes the comment and says so in a line."""
    merge = bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment())
    assert main(["bot", "report", "--merge-request", str(merge.iid), "--config", str(bot.folder / "bot.yaml")]) == 0
    assert capsys.readouterr().out == f"!{merge.iid}: judged at {merge.head[:8]}\n"
    assert bot.comment(merge)


def test_the_marker_is_the_first_line(bot: Bot) -> None:
    """Every comment of the bot begins with the marker by which it finds it again."""
    merge = bot.site.propose(bot.site.user("anna.nowak"), bot.site.experiment())
    bot.report(merge.iid)
    assert bot.comment(merge).startswith(f"{MARKER}\n")
    assert sqlite3.connect(bot.settings.work / "store.sqlite").execute("SELECT count(*) FROM comments").fetchone() == (
        1,
    )
