"""A bot that died while it wrote a comment: GitLab's own copy says whether it was shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.gitlab.model import Merge
from tests.gitlab.site import Site
from tools.bot.forge import Forge
from tools.bot.showing import GIVE_UP, confirm, digest
from tools.bot.store import Store

BODY = "<!-- ft-bot: report -->\nwhat approval authorizes\n"
RUN = ("dev", "team-a", "exp-002", "exp-002-aaaaaaaa", "a" * 64)


@pytest.fixture
def merge(site: Site) -> Merge:
    """A merge request of anna's."""
    return site.propose(site.user("anna.nowak"), site.experiment())


@pytest.fixture
def forge(site: Site) -> Forge:
    """The bot's view of the site."""
    return Forge(site.gitlab.url, site.project.id, site.bot.token)


@pytest.fixture
def store(merge: Merge, tmp_path: Path) -> Store:
    """The store of a bot that died when it was about to write the comment."""
    made = Store(tmp_path / "store.sqlite")
    made.save_showing(merge.iid, merge.head, [RUN], digest(BODY), datetime.now(UTC))
    return made


def test_a_comment_that_is_there_was_shown_since_gitlabs_time(
    site: Site, merge: Merge, forge: Forge, store: Store
) -> None:
    """The very text in a comment of the bot's own account: on record, with GitLab's time and the comment's id."""
    site.gitlab.note(site.mallory, site.project, merge, BODY)
    note = site.gitlab.note(site.bot, site.project, merge, BODY.strip())
    confirm(forge, store)
    (shown,) = store.shown(merge.iid, merge.head)
    assert (shown.sha256, shown.shown_at) == (RUN[4], note.updated_at)
    assert (store.comment(merge.iid), store.showing()) == (note.id, [])


def test_another_text_or_another_author_shows_nothing(site: Site, merge: Merge, forge: Forge, store: Store) -> None:
    """Somebody's copy and the bot's earlier comment prove nothing; the question stays open."""
    site.gitlab.note(site.mallory, site.project, merge, BODY)
    site.gitlab.note(site.bot, site.project, merge, BODY + "of an earlier head")
    confirm(forge, store)
    assert store.shown(merge.iid, merge.head) == []
    assert [each.iid for each in store.showing()] == [merge.iid]


def test_a_comment_that_a_person_deleted_shows_nothing(site: Site, merge: Merge, forge: Forge, store: Store) -> None:
    """The remembered comment is gone: looked for, not found, not shown."""
    note = site.gitlab.note(site.bot, site.project, merge, BODY)
    store.note_comment(merge.iid, note.id)
    site.gitlab.delete_note(site.root, site.project, merge, note)
    confirm(forge, store)
    assert store.shown(merge.iid, merge.head) == []


def test_without_a_question_gitlab_is_not_asked(merge: Merge, forge: Forge, store: Store) -> None:
    """Once it is on record, or has been in question for a week, no call is made for it."""
    store.save_shown(merge.iid, merge.head, [RUN], datetime.now(UTC))
    confirm(forge, store)
    assert forge.calls == 0
    store.save_showing(merge.iid, merge.head, [RUN], digest(BODY), datetime.now(UTC) - GIVE_UP - timedelta(hours=1))
    confirm(forge, store)
    assert store.showing() == []
