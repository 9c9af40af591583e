"""What the comment says of a merge request that changes what is served or recalled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.promoting import FILE, NAME, RECALL, files, platform, recall
from tools.bot.records import User
from tools.bot.report.changes import Change
from tools.bot.report.needs import Before
from tools.bot.report.recompute import Report, recompute
from tools.bot.report.text import headline
from tools.formats.audit import Audit
from tools.repository import Repository

ANNA, BOT, MALLORY = User(101, "anna.nowak"), User(900, "ft.bot"), User(666, "mallory")


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, tuple[Audit, Audit]]:
    """Two versions, nothing served."""
    return tmp_path / "platform", platform(tmp_path / "platform")


def report(root: Path, changed: dict[str, str], author: User = ANNA) -> Report:
    """The report of a merge request that writes these files."""
    for path, text in changed.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    repository = Repository(root)
    before = Before.read(repository, {"team-a"})
    return recompute(repository, before, [Change(path, "added") for path in changed], author, bot=BOT)


def test_it_says_from_what_to_what_and_who_approves(scene: tuple[Path, tuple[Audit, Audit]]) -> None:
    """Nothing now, version 3 afterwards, by the tenant's approvers; no platform admin."""
    root, (first, _) = scene
    found = report(root, files(first))
    (served,) = found.served
    assert (served.before, served.file) == ("nothing", FILE)
    assert served.after.startswith(f"version 3, run {first.run_id}")
    assert "maria.wisniewska" in served.approvals
    assert (found.errors, found.outside) == (0, ())
    assert headline(found).startswith("✅ Ready for approval: merging changes what is served")


@pytest.mark.parametrize(("author", "outside"), [(BOT, 0), (MALLORY, 1)])
def test_the_bot_may_propose_and_a_stranger_takes_an_admin(
    scene: tuple[Path, tuple[Audit, Audit]], author: User, outside: int
) -> None:
    """The bot is no member of the tenant, and neither is Mallory."""
    root, (first, _) = scene
    assert len(report(root, files(first), author).outside) == outside


def test_recalled_data_is_a_finding_before_the_merge(scene: tuple[Path, tuple[Audit, Audit]]) -> None:
    """The approvers see it before they press anything."""
    root, (first, _) = scene
    found = report(root, {**recall(first), **files(first)})
    assert [(each.file, each.rule) for each in found.findings] == [(FILE, "serving-recall")]
    assert headline(found).startswith("❌")
    rows = {each.file: each.after for each in found.served}
    assert rows[RECALL] == "1 content(s) recalled, 2 model(s): no model of it is promoted"
    assert NAME.partition(".")[2] in FILE
