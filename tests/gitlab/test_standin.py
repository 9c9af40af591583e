"""The stand-in behaves as GitLab's documentation says, seen through python-gitlab and git."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import gitlab as python_gitlab
import pytest

from tests.gitlab import endpoints
from tests.gitlab.model import Account, Role
from tests.gitlab.server import RateLimit
from tests.gitlab.site import WEBHOOK_SECRET, Site
from tests.gitlab.wire import Refused


def client(site: Site, account: Account) -> python_gitlab.Gitlab:
    """Somebody's own client, which repeats nothing."""
    return python_gitlab.Gitlab(site.gitlab.url, private_token=account.token)


def project(site: Site, account: Account) -> python_gitlab.v4.objects.Project:
    """The site's project in somebody's eyes."""
    return client(site, account).projects.get(site.project.id)


def test_a_person_lives_a_merge_request_over_rest(site: Site) -> None:
    """Open, comment, approve, merge through python-gitlab's own objects."""
    anna, maria = site.user("anna.nowak"), site.user("maria.wisniewska")
    site.gitlab.push(anna, site.project, "exp", site.experiment())
    made = project(site, anna).mergerequests.create({"source_branch": "exp", "target_branch": "main", "title": "x"})
    made.notes.create({"body": "please"})
    theirs = project(site, maria).mergerequests.get(made.iid)
    theirs.approve()
    theirs.merge()
    after = project(site, anna).mergerequests.get(made.iid)
    assert (after.state, after.merge_user["id"]) == ("merged", maria.id)
    assert [each["user"]["id"] for each in after.approvals.get().approved_by] == [maria.id]
    assert after.merge_commit_sha == site.main


def test_roles_are_checked(site: Site) -> None:
    """No member sees a private project, a reporter opens nothing, a guest pushes nothing, others' comments stay."""
    with pytest.raises(python_gitlab.GitlabGetError) as missing:
        project(site, site.outsider)
    reporter = site.gitlab.add_user("reporter")
    site.project.grant(reporter, Role.REPORTER)
    fields = {"source_branch": "main", "target_branch": "deployed/dev", "title": "x"}
    with pytest.raises(python_gitlab.GitlabCreateError) as forbidden:
        project(site, reporter).mergerequests.create(fields)
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    note = site.gitlab.note(site.bot, site.project, merge, "the bot's")
    with pytest.raises(python_gitlab.GitlabUpdateError) as others:
        project(site, site.mallory).mergerequests.get(merge.iid).notes.update(note.id, {"body": "mine"})
    assert (missing.value.response_code, forbidden.value.response_code, others.value.response_code) == (404, 403, 403)
    with pytest.raises(Refused):
        site.gitlab.push(reporter, site.project, "branch", {"a": "1"})


def test_nobody_pushes_to_main_but_the_bot(site: Site, tmp_path: Path) -> None:
    """Over git's own protocol: a developer and a maintainer are refused, the bot's push is an event of the bot."""
    for account, code in ((site.mallory, 1), (site.user("piotr.admin"), 1), (site.bot, 0)):
        folder = tmp_path / account.username
        url = site.gitlab.clone_url(site.project).replace("://", f"://oauth2:{account.token}@")
        subprocess.run(["git", "clone", "-q", url, str(folder)], check=True)
        git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@x"]
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
        done = subprocess.run([*git, "push", "-q", "origin", "HEAD:main"], capture_output=True, check=False)
        assert (done.returncode, b"not allowed to push" in done.stderr) == (code, bool(code))
    assert site.project.events[-1].author is site.bot


def test_lists_have_twenty_entries_a_page_unless_asked(site: Site) -> None:
    """Pages, totals and links as the documentation gives them."""
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    for number in range(45):
        site.gitlab.note(site.mallory, site.project, merge, f"comment {number}")
    notes = project(site, site.bot).mergerequests.get(merge.iid).notes
    page = notes.list(iterator=True)
    assert (page.per_page, page.total, page.total_pages, page.next_page) == (20, 45, 3, 2)
    assert len(notes.list(get_all=True)) == 45
    assert len(notes.list(per_page=100)) == 45


def test_the_rate_limit_answers_429_with_retry_after(site: Site) -> None:
    """python-gitlab itself waits for it."""
    site.gitlab.rate_limit = RateLimit(2, 1.0)
    begun = time.monotonic()
    mine = client(site, site.bot)
    for _ in range(3):
        mine.auth()
    assert time.monotonic() - begun >= 1
    assert 429 in {call.status for call in site.gitlab.calls}


def test_a_fork_is_merged_and_its_pushes_are_the_forks(site: Site) -> None:
    """A merge request from a fork: its commits come along, its push events stay in the fork."""
    fork = site.gitlab.fork(site.project, site.mallory)
    merge = site.propose(site.mallory, site.experiment(), source=fork, branch="mine")
    site.merge("maria.wisniewska", merge)
    assert not [event for event in site.project.events if event.ref == "mine"]
    assert [event.author.id for event in fork.events if event.ref == "mine"] == [site.mallory.id]
    assert merge.source.id != site.project.id


def test_a_push_resets_approvals_where_the_project_says_so(site: Site) -> None:
    """Premium's setting; without it an approval outlives a later push."""
    for resets, left in ((False, 1), (True, 0)):
        site.project.reset_approvals_on_push = resets
        name = f"exp-{resets}".lower()
        merge = site.propose(site.user("anna.nowak"), site.experiment(name=name), branch=name)
        site.approve("maria.wisniewska", merge)
        site.gitlab.push(site.mallory, site.project, name, {"experiments/team-a/other.yaml": "x"})
        assert len(merge.approvals) == left
        assert len(merge.versions) == 2


def test_comments_have_the_effects_that_gitlab_gives_them(site: Site) -> None:
    """Quick actions and mentions in prose take effect, in code they do not."""
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    site.gitlab.note(site.mallory, site.project, merge, "/approve\nsee @all\n`@one`\n```\n/merge @two\n```")
    assert site.gitlab.quick_actions == ["/approve"]
    assert site.gitlab.mentions == ["all"]


def test_a_repeated_webhook_shares_its_key(site: Site) -> None:
    """The token and GitLab's headers are there; a repetition has the same Idempotency-Key and another UUID."""
    site.gitlab.add_hook(site.project, f"{site.gitlab.url}/nothing", WEBHOOK_SECRET)
    site.propose(site.user("anna.nowak"), site.experiment())
    first = site.gitlab.webhooks.deliveries[-1]
    again = site.gitlab.webhooks.redeliver(first)
    assert first.headers["X-Gitlab-Token"] == WEBHOOK_SECRET
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]
    assert first.headers["X-Gitlab-Event-UUID"] != again.headers["X-Gitlab-Event-UUID"]


def test_a_merge_that_conflicts_or_is_late_is_refused(site: Site) -> None:
    """405 for a conflict and for what is merged already, 409 for another head than the merger saw."""
    one = site.propose(site.user("anna.nowak"), site.experiment())
    two = site.propose(site.user("jan.kowalski"), site.experiment(priority="low"))
    seen = []
    site.merge("maria.wisniewska", one)
    for merge, sha in ((one, None), (two, None), (two, site.main)):
        with pytest.raises(Refused) as refused:
            site.gitlab.merge(site.user("maria.wisniewska"), site.project, merge, None, sha)
        seen.append(refused.value.status)
    assert seen == [405, 405, 409]


def test_every_endpoint_has_its_own_words() -> None:
    """Each endpoint says what it is, and no two answer the same request."""
    assert all(endpoint.__doc__ for _, _, endpoint in endpoints.ROUTES)
    places = [(method, pattern.pattern) for method, pattern, _ in endpoints.ROUTES]
    assert len(set(places)) == len(places)
