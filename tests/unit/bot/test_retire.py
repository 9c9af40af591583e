"""Which overlays leave, and what stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.audited import AT, PLAIN, authorize, outcome, write
from tests.platform_copy import expanded_platform, tree
from tools.bot.authorize.deploying import apply
from tools.bot.upkeep import retire, watching
from tools.cli import main
from tools.formats.audit import Outcome
from tools.formats.base import seconds
from tools.repository import Repository

ADAPTER_ONLY = "overlays/dev/team-a/adapter-only"
END = datetime.fromisoformat(AT)
KEPT = timedelta(seconds=seconds("7d"))
LATER = END + KEPT


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """The fixture's platform with all its overlays, which keeps finished runs for seven days."""
    made = expanded_platform(tmp_path / "platform")
    found = Repository(made).environment("dev")
    assert found is not None
    assert found.keep_finished == "7d"
    return made


def due(platform: Path, now: datetime = LATER) -> list[str]:
    """Folders whose time has come."""
    repository = Repository(platform)
    environment = repository.environment("dev")
    assert environment is not None
    return [run.folder for run in retire.due(watching.in_git(repository, "dev"), environment, now)]


def test_a_registered_run_leaves_after_keep_finished(platform: Path) -> None:
    """Not a second earlier."""
    authorize(platform, ended=outcome())
    assert due(platform, LATER - timedelta(seconds=1)) == []
    assert due(platform) == [PLAIN]


def test_a_run_that_publishes_nothing_leaves_when_it_is_finished(platform: Path) -> None:
    """Its adapter is the result."""
    authorize(platform, ADAPTER_ONLY, outcome(version=None))
    assert due(platform) == [ADAPTER_ONLY]


@pytest.mark.parametrize(
    "ended",
    [
        None,
        outcome(version=None),
        outcome(hours=None),
        outcome("failed", version=None),
        outcome("cancelled", version=None),
    ],
    ids=["running", "unpublished", "unmeasured", "failed", "cancelled"],
)
def test_nothing_else_leaves(platform: Path, ended: Outcome | None) -> None:
    """An unpublished run never, whatever its age; a failed one waits for its next attempt."""
    authorize(platform, ended=ended)
    assert due(platform, datetime(2036, 1, 1, tzinfo=UTC)) == []


def test_an_attempt_that_runs_again_keeps_the_overlay(platform: Path) -> None:
    """The outcome of the attempt that the overlay runs decides, not that of another."""
    made = authorize(platform, ended=outcome())
    other = made.last.model_copy(update={"attempt": 2})
    write(platform, made.model_copy(update={"attempts": [other]}))
    assert due(platform) == []


def test_a_run_without_a_record_stays(platform: Path) -> None:
    """What the bot did not authorize it does not remove."""
    (platform / authorize(platform, ended=outcome()).file).unlink()
    assert due(platform) == []


def test_retirement_removes_the_overlay_and_marks_the_record(
    platform: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tree after it passes `ft expand --check`, nothing else has changed, and a second look finds nothing to do."""
    made = authorize(platform, ended=outcome())
    before = tree(platform)
    runs = [run for run in watching.in_git(Repository(platform), "dev") if run.folder == PLAIN]
    found = retire.retirement(runs, LATER)
    assert (found.runs, found.merge_requests) == ([made.run_id], [7])
    apply(platform, found.changes)
    after = tree(platform)
    assert {path for path in before if before[path] != after.get(path)} == {
        *(path for path in before if path.startswith(PLAIN)),
        made.file,
    }
    assert not (platform / PLAIN).exists()
    assert b'retired_at: "2026-11-10T10:00:00Z"' in after[made.file]
    assert main(["expand", "--check", "--repo", str(platform)]) == 0, capsys.readouterr().out
    assert due(platform) == []
