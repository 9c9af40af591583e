"""The forge client against the stand-in: what it reads and writes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.gitlab.model import Role
from tests.gitlab.site import Site
from tests.gitlab.standin import GitLab
from tools.bot.errors import ForgeMissing, ForgeRefused
from tools.bot.forge import Forge


@pytest.fixture
def forge(site: Site) -> Forge:
    """The bot's view of the site."""
    return Forge(site.gitlab.url, site.project.id, site.bot.token)


def test_it_knows_its_own_account_and_asks_once(site: Site, forge: Forge) -> None:
    """The account behind the token is asked for once."""
    assert (forge.me().id, forge.me().username) == (site.bot.id, "ft.bot")
    assert forge.calls == 1


def test_a_merge_request_has_its_base_and_its_author(site: Site, forge: Forge) -> None:
    """One merge request comes with author, head and the commit that it branches from."""
    made = site.propose(site.user("anna.nowak"), site.experiment())
    found = forge.merge_request(made.iid)
    assert (found.author.id, found.head_sha, found.base_sha) == (101, made.head, site.main)
    assert (found.state, found.merged_at, found.merge_commit_sha) == ("opened", None, None)


def test_approvals_have_ids_and_times(site: Site, forge: Forge) -> None:
    """An approval names the approver by number, with GitLab's time."""
    made = site.propose(site.user("anna.nowak"), site.experiment())
    site.approve("maria.wisniewska", made)
    (approval,) = forge.approvals(made.iid)
    assert approval.user.id == 201
    assert approval.approved_at is not None
    assert approval.approved_at > forge.versions(made.iid)[0].created_at


def test_an_older_server_tells_of_approvals_in_system_notes(site: Site, forge: Forge) -> None:
    """Without approved_at the approval has no time and the history has the line."""
    site.gitlab.shows_approved_at = False
    made = site.propose(site.user("anna.nowak"), site.experiment())
    site.approve("maria.wisniewska", made)
    assert forge.approvals(made.iid)[0].approved_at is None
    (line,) = [note for note in forge.notes(made.iid) if note.system]
    assert (line.body, line.author.id) == ("approved this merge request", 201)


def test_versions_come_newest_first_with_each_push(site: Site, forge: Forge) -> None:
    """Each push to the source branch is a version, whatever dates its commits claim."""
    anna = site.user("anna.nowak")
    made = site.propose(anna, site.experiment(), branch="exp")
    past = site.gitlab.clock.now() - timedelta(days=400)
    late = site.gitlab.push(anna, site.project, "exp", site.experiment(priority="low"), when=past)
    versions = forge.versions(made.iid)
    assert [version.head_sha for version in versions] == [late, made.versions[0].head]
    assert versions[0].created_at > versions[1].created_at


@pytest.mark.parametrize("way", ["merge", "squash", "ff", "squash-ff"])
def test_a_commit_leads_to_its_merge_request_however_it_was_merged(site: Site, forge: Forge, way: str) -> None:
    """Merge commit, squash and fast-forward: main's new commit finds the merge request."""
    made = site.propose(site.user("anna.nowak"), site.experiment())
    tip = site.merge("maria.wisniewska", made, way)
    (found,) = forge.merge_requests_of(tip)
    assert (found.iid, found.state, found.merged_by and found.merged_by.id) == (made.iid, "merged", 201)
    assert (found.merge_commit_sha is not None) == (way in {"merge", "squash"})
    assert (found.squash_commit_sha is not None) == way.startswith("squash")


def test_many_merged_requests_are_one_call(site: Site, forge: Forge) -> None:
    """What was merged since a moment comes in pages of a hundred, not of GitLab's twenty."""
    start = site.gitlab.clock.now()
    for number in range(21):
        made = site.propose(site.user("anna.nowak"), site.experiment(name=f"many-{number}"))
        site.merge("maria.wisniewska", made, "squash-ff")
    assert len(forge.merged_merge_requests(start)) == 21
    assert forge.calls == 1


def test_a_thousand_comments_are_all_read(site: Site, forge: Forge) -> None:
    """A thousand comments come in order, a hundred a call."""
    made = site.propose(site.user("anna.nowak"), site.experiment())
    for number in range(1000):
        site.gitlab.note(site.mallory, site.project, made, f"comment {number}")
    notes = forge.notes(made.iid)
    assert [note.body for note in notes] == [f"comment {number}" for number in range(1000)]
    assert forge.calls == 10


def test_a_comment_is_written_changed_and_missed_when_deleted(site: Site, forge: Forge) -> None:
    """A comment's life; a deleted one is ForgeMissing, not silence."""
    made = site.propose(site.user("anna.nowak"), site.experiment())
    note = forge.add_note(made.iid, "first")
    assert forge.edit_note(made.iid, note.id, "second").body == "second"
    site.gitlab.delete_note(site.root, site.project, made, made.notes[-1])
    with pytest.raises(ForgeMissing):
        forge.edit_note(made.iid, note.id, "third")


def test_pushes_are_known_by_account_not_by_the_commits_e_mail(site: Site, forge: Forge) -> None:
    """A commit that claims to be anna's, pushed by mallory, is mallory's push."""
    anna = site.user("anna.nowak")
    made = site.propose(anna, site.experiment(), branch="exp")
    forged = f"{anna.username} <{anna.email}>"
    site.gitlab.push(site.mallory, site.project, "exp", site.experiment(priority="low"), author=forged)
    pushes = forge.pushes(site.project.id, "exp", made.created_at - timedelta(hours=1))
    assert [push.author.id for push in pushes] == [site.mallory.id, anna.id]


def test_pushes_of_other_branches_and_earlier_ones_are_left_out(site: Site, forge: Forge) -> None:
    """Only the branch asked for, and only since the moment asked for, to the second."""
    site.propose(site.user("anna.nowak"), site.experiment(), branch="one")
    since = site.gitlab.clock.now()
    site.propose(site.user("jan.kowalski"), site.experiment(name="exp-003"), branch="two")
    assert [push.author.id for push in forge.pushes(site.project.id, "two", since)] == [102]
    assert forge.pushes(site.project.id, "one", since) == []


def test_a_push_of_many_branches_at_once_may_have_been_any(site: Site, forge: Forge) -> None:
    """GitLab lists a bulk push without names: it counts for every branch."""
    since = site.gitlab.clock.now()
    branches = {f"refs/heads/b{number}": (None, site.main) for number in range(5)}
    site.gitlab.pushed(site.mallory, site.project, branches)
    assert [push.author.id for push in forge.pushes(site.project.id, "b1", since)] == [site.mallory.id]


def test_a_merge_request_is_opened_once(site: Site, forge: Forge) -> None:
    """The second for the same branch is refused with 409, and the first can be found by its branch."""
    site.gitlab.push(site.bot, site.project, "image", {"environments/dev.yaml": "x"})
    made = forge.create_merge_request(
        source_branch="image", target_branch="main", title="New image", description="why", remove_source_branch=True
    )
    with pytest.raises(ForgeRefused) as refused:
        forge.create_merge_request(source_branch="image", target_branch="main", title="x", description="y")
    assert refused.value.status == 409
    assert [found.iid for found in forge.merge_requests_from("image")] == [made.iid]


def test_open_merge_requests_are_listed_oldest_first(site: Site, forge: Forge) -> None:
    """Merged ones are not among the open."""
    first, second, third = (
        site.propose(site.user("anna.nowak"), site.experiment(name=f"exp-{number}")) for number in range(3)
    )
    site.merge("maria.wisniewska", second)
    assert [found.iid for found in forge.open_merge_requests()] == [first.iid, third.iid]


def test_keys_of_id_tokens_are_read(forge: Forge) -> None:
    """The keys that sign jobs' tokens are public."""
    assert forge.signing_keys()["keys"][0]["kid"] == "standin-key"


def test_a_project_that_the_token_may_not_see_is_missing(gitlab: GitLab) -> None:
    """GitLab says 404 for a private project, and the remedy names membership."""
    owner, stranger = gitlab.add_user("owner"), gitlab.add_user("stranger")
    project = gitlab.add_project("secret/project", owner, {gitlab.add_user("member"): Role.DEVELOPER})
    with pytest.raises(ForgeMissing, match="member of that project"):
        Forge(gitlab.url, project.id, stranger.token).project()
