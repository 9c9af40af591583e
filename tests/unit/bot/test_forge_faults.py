"""The forge client when GitLab fails: every wait ends, nothing is done twice, no message holds the token."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable

import pytest

from tests.gitlab import faults
from tests.gitlab.model import Merge
from tests.gitlab.server import RateLimit
from tests.gitlab.site import Site
from tools.bot.errors import ForgeAway, ForgeMissing, ForgeRefused
from tools.bot.forge import Forge


@pytest.fixture
def merge(site: Site) -> Merge:
    """A merge request of anna's."""
    return site.propose(site.user("anna.nowak"), site.experiment())


@pytest.fixture
def forge(site: Site) -> Forge:
    """The bot's view of the site, with little patience."""
    return Forge(site.gitlab.url, site.project.id, site.bot.token, answer_seconds=1.0, patience_seconds=6.0)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(401, "new project access token"), (403, "role Maintainer"), (404, "project id"), (409, "read it again")],
)
def test_a_refusal_says_what_to_do(site: Site, forge: Forge, merge: Merge, status: int, remedy: str) -> None:
    """401, 403, 404 and 409 are asked once and answered with status and remedy."""
    site.gitlab.faults.add(status, times=9)
    with pytest.raises(ForgeRefused, match=remedy) as refused:
        forge.merge_request(merge.iid)
    assert refused.value.status == status
    assert isinstance(refused.value, ForgeMissing) == (status == 404)
    assert forge.calls == 1


def test_a_revoked_token_is_a_refusal(site: Site, forge: Forge) -> None:
    """A token that was taken back is GitLab's own 401."""
    site.bot.revoked = True
    with pytest.raises(ForgeRefused, match="expired or revoked"):
        forge.me()


def test_a_token_without_the_scope_is_a_refusal(site: Site, merge: Merge) -> None:
    """A token that may only read cannot comment."""
    site.bot.scopes = ("read_api",)
    forge = Forge(site.gitlab.url, site.project.id, site.bot.token)
    with pytest.raises(ForgeRefused, match="scope api"):
        forge.add_note(merge.iid, "text")


def test_it_waits_as_long_as_gitlab_asks(site: Site, forge: Forge, merge: Merge) -> None:
    """429 with Retry-After: 1 is obeyed, for a comment too, and the comment is there once."""
    site.gitlab.faults.add(429, "POST .*/notes", retry_after=1)
    forge.add_note(merge.iid, "text")
    assert [note.body for note in merge.notes] == ["text"]
    assert forge.calls == 2


def test_the_real_rate_limit_is_kept(site: Site, forge: Forge, merge: Merge) -> None:
    """Five reads against a limit of three in a second all succeed in the end."""
    site.gitlab.rate_limit = RateLimit(3, 1.0)
    for _ in range(5):
        assert forge.merge_request(merge.iid).iid == merge.iid


def test_an_hour_of_retry_after_is_not_slept_through(site: Site, forge: Forge, merge: Merge) -> None:
    """A wait beyond the patience is reported at once, for the work to be queued."""
    site.gitlab.faults.add(429, times=9, retry_after=3600)
    with pytest.raises(ForgeAway) as away:
        forge.merge_request(merge.iid)
    assert (away.value.status, away.value.maybe_done, forge.calls) == (429, False, 1)


@pytest.mark.parametrize("what", [500, 502, 503, faults.HALF, faults.CUT, faults.DROP, faults.HANG])
def test_a_read_is_tried_again(site: Site, forge: Forge, merge: Merge, what: int | str) -> None:
    """One bad answer to a read is followed by a good one."""
    site.gitlab.faults.add(what, "GET .*/merge_requests/1$")
    assert forge.merge_request(merge.iid).iid == merge.iid
    assert forge.calls == 2


@pytest.mark.parametrize("what", [500, faults.HALF, faults.CUT, faults.DROP, faults.DRIP, faults.HTML])
def test_a_read_that_never_succeeds_ends(site: Site, forge: Forge, merge: Merge, what: int | str) -> None:
    """A GitLab that stays broken is ForgeAway within the patience."""
    site.gitlab.faults.add(what, times=99)
    with pytest.raises(ForgeAway, match="tries again later"):
        forge.merge_request(merge.iid)


def test_a_list_that_lacks_an_entry_is_not_taken_for_whole(site: Site, forge: Forge, merge: Merge) -> None:
    """A page with fewer entries than X-Total counts is no list."""
    site.gitlab.approve(site.user("maria.wisniewska"), site.project, merge)
    site.gitlab.faults.add(faults.SHORT, "GET .*/notes", times=9)
    with pytest.raises(ForgeAway, match="0 of 1"):
        forge.notes(merge.iid)


def test_a_broken_second_page_is_read_again(site: Site, forge: Forge, merge: Merge) -> None:
    """Half of the second of three pages: no comment is lost and none is read twice."""
    for number in range(250):
        site.gitlab.note(site.mallory, site.project, merge, f"comment {number}")
    site.gitlab.faults.add(faults.HALF, "GET .*/notes.*page=2")
    assert len({note.id for note in forge.notes(merge.iid)}) == 250
    assert forge.calls == 4


@pytest.mark.parametrize("what", [500, faults.DROP, faults.HANG])
def test_a_write_whose_answer_is_lost_is_not_repeated(site: Site, forge: Forge, merge: Merge, what: int | str) -> None:
    """The comment took effect and the answer was lost: it is there once, and the caller is told to look."""
    site.gitlab.faults.add(what, "POST .*/notes", after=True)
    with pytest.raises(ForgeAway) as away:
        forge.add_note(merge.iid, "text")
    assert away.value.maybe_done
    assert [note.body for note in merge.notes] == ["text"]
    assert forge.calls == 1


def test_an_edit_is_repeated(site: Site, forge: Forge, merge: Merge) -> None:
    """Editing twice is the same as once, so a lost answer is no reason to stop."""
    note = forge.add_note(merge.iid, "first")
    site.gitlab.faults.add(faults.DROP, "PUT", after=True)
    assert forge.edit_note(merge.iid, note.id, "second").body == "second"


def test_nobody_listens(site: Site) -> None:
    """A GitLab that is down is ForgeAway."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ForgeAway, match="no connection"):
        Forge(address, site.project.id, site.bot.token, patience_seconds=0.5).me()


def test_a_redirect_does_not_carry_the_token_away(site: Site, forge: Forge) -> None:
    """GitLab's redirects of moved projects are refused: the token goes to no other address."""
    site.gitlab.faults.add(302, "GET .*/user")
    with pytest.raises(ForgeRefused, match=r"gitlab\.url"):
        forge.me()
    assert forge.calls == 1


_CALLS: list[Callable[[Forge], object]] = [
    lambda forge: forge.me(),
    lambda forge: forge.merge_request(1),
    lambda forge: forge.notes(1),
    lambda forge: forge.add_note(1, "text"),
    lambda forge: forge.signing_keys(),
]


@pytest.mark.parametrize("call", _CALLS)
@pytest.mark.parametrize("what", [401, 403, 404, 409, 429, 500, faults.DROP, faults.CUT, faults.HTML])
def test_no_message_and_no_traceback_holds_the_token(
    site: Site, merge: Merge, what: int | str, call: Callable[[Forge], object]
) -> None:
    """Whatever fails, the error's whole chain is free of the token."""
    site.gitlab.faults.add(what, times=99)
    forge = Forge(site.gitlab.url, site.project.id, site.bot.token, patience_seconds=0.1)
    with pytest.raises((ForgeAway, ForgeRefused)) as failed:
        call(forge)
    text = "".join(traceback.format_exception(failed.value)) + repr(failed.value)
    assert site.bot.token not in text
    assert failed.value.__cause__ is None
    assert merge.state == "opened"
