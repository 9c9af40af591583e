"""One comment on a merge request, whatever happens around it: the real client over HTTP against the GitLab stand-in."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gitlab.model import Merge, Note
from tests.gitlab.site import Site
from tools.bot.errors import ForgeAway, ForgeRefused
from tools.bot.forge import Forge
from tools.bot.records import MergeRequest
from tools.bot.report.sticky import Sticky, alone
from tools.bot.report.text import MARKER


@dataclass
class Page:
    """A merge request and the bot's way to its comment."""

    site: Site
    merge: Merge
    forge: Forge

    def write(
        self, text: str, known: int | None = None, forge: Forge | None = None, head: str | None = None
    ) -> int | None:
        """Write `text`, judged at the present head unless another is given."""
        judged = head or self.merge.head

        def still_right(now: MergeRequest) -> bool:
            return now.head_sha == judged

        return Sticky(forge or self.forge, self.merge.iid, known).write(f"{MARKER}\n{text}", still_right)

    @property
    def mine(self) -> list[Note]:
        """The bot's comments."""
        return [note for note in self.merge.notes if note.author is self.site.bot]

    def another(self) -> Forge:
        """A second bot with the same account."""
        return Forge(
            self.site.gitlab.url, self.site.project.id, self.site.bot.token, answer_seconds=1, patience_seconds=3
        )


@pytest.fixture
def page(site: Site) -> Page:
    """A merge request of anna.nowak without comments."""
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    forge = Forge(site.gitlab.url, site.project.id, site.bot.token, answer_seconds=1, patience_seconds=3)
    site.gitlab.forget_calls()
    return Page(site, merge, forge)


def test_the_first_report_makes_the_comment_and_the_next_ones_change_it(page: Page) -> None:
    """There is one comment after three reports, with the last one's text; four calls make it, two change it."""
    first = page.write("one")
    assert page.site.gitlab.count() == 4
    page.site.gitlab.forget_calls()
    assert page.write("two", known=first) == first
    assert page.site.gitlab.count() == 2
    assert page.write("three") == first
    assert [note.body for note in page.mine] == [f"{MARKER}\nthree"]


def test_it_is_found_among_a_thousand_notes(page: Page) -> None:
    """A bot that has forgotten the comment's id finds it on the eleventh page, and never writes a second one."""
    account = page.site.user("anna.nowak")
    for number in range(1000):
        page.site.gitlab.note(account, page.site.project, page.merge, f"comment {number}")
    first = page.write("one")
    assert page.write("two") == first
    assert len(page.mine) == 1


def test_a_known_comment_costs_two_calls_among_a_thousand_notes(page: Page) -> None:
    """With the id remembered, the number of notes costs nothing."""
    account = page.site.user("anna.nowak")
    for number in range(1000):
        page.site.gitlab.note(account, page.site.project, page.merge, f"comment {number}")
    first = page.write("one")
    page.site.gitlab.forget_calls()
    page.write("two", known=first)
    assert page.site.gitlab.count() == 2


def test_another_users_comment_with_our_marker_is_not_ours(page: Page) -> None:
    """A user who copies the marker keeps the comment, and the bot makes its own."""
    forged = page.site.gitlab.note(
        page.site.mallory, page.site.project, page.merge, f"{MARKER}\n### ✅ Ready for approval"
    )
    page.write("one")
    page.write("two")
    assert forged.body.endswith("Ready for approval")
    assert [note.body for note in page.mine] == [f"{MARKER}\ntwo"]


def test_our_own_other_comments_are_left_alone(page: Page) -> None:
    """What the account wrote without the marker at the beginning, for instance a quotation, is no report."""
    other = page.site.gitlab.note(page.site.bot, page.site.project, page.merge, f"See above: {MARKER}")
    page.write("one")
    assert other.body.startswith("See above")
    assert len(page.mine) == 2


def test_a_deleted_comment_is_made_again(page: Page) -> None:
    """A person deletes it; the next report makes a new one, and only one."""
    first = page.write("one")
    page.site.gitlab.delete_note(page.site.root, page.site.project, page.merge, page.mine[0])
    second = page.write("two", known=first)
    assert second not in {None, first}
    assert [note.body for note in page.mine] == [f"{MARKER}\ntwo"]


def test_a_comment_that_a_person_edited_is_put_right(page: Page) -> None:
    """A maintainer may edit the bot's comment; the next report overwrites it."""
    first = page.write("one")
    page.site.gitlab.edit_note(page.site.root, page.site.project, page.mine[0], f"{MARKER}\napproved, trust me")
    page.write("two", known=first)
    assert page.mine[0].body == f"{MARKER}\ntwo"


def test_two_bots_at_the_same_moment_end_in_one_comment(page: Page) -> None:
    """Another bot writes its comment between our look and our writing: ours goes, and its comment gets our text."""
    other = page.another()
    page.site.gitlab.faults.before("POST .*/notes", lambda: page.write("other", forge=other))
    page.write("ours")
    assert [note.body for note in page.mine] == [f"{MARKER}\nours"]


def test_two_bots_that_wrote_at_once_clean_up_later(page: Page) -> None:
    """Comments that two bots left behind become one with the next report: the oldest."""
    for text in ("one", "two"):
        page.site.gitlab.note(page.site.bot, page.site.project, page.merge, f"{MARKER}\n{text}")
    oldest = page.mine[0].id
    assert page.write("three") == oldest
    assert [note.body for note in page.mine] == [f"{MARKER}\nthree"]


def test_reports_in_threads_end_in_one_comment(page: Page, tmp_path: Path) -> None:
    """Eight reports of one bot at once, each alone with the merge request, end in one comment."""

    def once(number: int) -> None:
        with alone(tmp_path / "locks", page.merge.iid):
            page.write(str(number), forge=page.another())

    threads = [threading.Thread(target=once, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(page.mine) == 1


def test_eight_bots_at_once_end_in_one_comment(page: Page) -> None:
    """The same without any lock in common, as on eight machines."""
    barrier = threading.Barrier(8)

    def once(number: int) -> None:
        forge = page.another()
        barrier.wait()
        page.write(str(number), forge=forge)

    threads = [threading.Thread(target=once, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(page.mine) == 1


def test_a_report_of_an_older_commit_does_not_overwrite(page: Page) -> None:
    """A push comes while the report is made: nothing is written, and the newer text stays."""
    first = page.write("one")
    old = page.merge.head
    page.site.gitlab.push(page.site.user("anna.nowak"), page.site.project, page.merge.source_branch, {"a": "b"})
    page.write("newer", known=first)
    assert page.write("older", known=first, head=old) is None
    assert page.mine[0].body == f"{MARKER}\nnewer"


def test_a_slow_older_bot_does_not_overwrite_what_another_just_made(page: Page) -> None:
    """Between our look and our writing comes a push and another bot's comment on it: the newer text stays."""
    old, other = page.merge.head, page.another()

    def meanwhile() -> None:
        page.site.gitlab.push(page.site.user("anna.nowak"), page.site.project, page.merge.source_branch, {"a": "b"})
        page.write("newer", forge=other)

    page.site.gitlab.faults.before("POST .*/notes", meanwhile)
    assert page.write("older", head=old) is None
    assert [note.body for note in page.mine] == [f"{MARKER}\nnewer"]


@pytest.mark.parametrize("what", ["hang", "drop", "half", 500, 502])
def test_an_answer_that_is_lost_leads_to_no_second_comment(what: int | str, page: Page) -> None:
    """GitLab makes the comment and its answer is lost: the next report finds it."""
    page.site.gitlab.faults.add(what, "POST .*/notes", after=True)
    with pytest.raises(ForgeAway) as raised:
        page.write("one")
    assert raised.value.maybe_done
    page.write("two")
    assert [note.body for note in page.mine] == [f"{MARKER}\ntwo"]


@pytest.mark.parametrize("what", ["half", "cut", "short", "html", "hang", 500])
def test_half_a_list_of_comments_leads_to_no_second_comment(what: int | str, page: Page) -> None:
    """A list that lacks entries is no proof that the comment is not there."""
    page.write("one")
    page.site.gitlab.faults.add(what, "GET .*/notes", times=10)
    with pytest.raises(ForgeAway):
        page.write("two")
    page.site.gitlab.faults.clear()
    page.write("three")
    assert [note.body for note in page.mine] == [f"{MARKER}\nthree"]


@pytest.mark.parametrize("status", [401, 403, 404, 409])
def test_a_refusal_says_what_to_do_and_shows_no_token(status: int, page: Page) -> None:
    """A no from GitLab is told with its remedy; the token is in no message."""
    page.site.gitlab.faults.add(status, "POST .*/notes")
    with pytest.raises(ForgeRefused) as raised:
        page.write("one")
    assert raised.value.remedy
    assert page.site.bot.token not in str(raised.value)
    assert page.mine == []


def test_a_rate_limit_is_waited_for(page: Page) -> None:
    """429 with Retry-After: the same call comes again after that time, once."""
    page.site.gitlab.faults.add(429, "POST .*/notes", retry_after=1)
    page.write("one")
    assert len(page.mine) == 1
