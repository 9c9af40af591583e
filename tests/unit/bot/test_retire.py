"""Which overlays leave, and what stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.audited import AT, PLAIN, authorize, outcome, write
from tests.platform_copy import expanded_platform, tree
from tools.bot.authorize.deploying import apply
from tools.bot.report.runs import examine
from tools.bot.upkeep import repairs, retire, watching
from tools.cli import main
from tools.formats.audit import Outcome
from tools.formats.base import seconds
from tools.plan.planner import Planner
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
    tenant = repository.tenant("team-a")
    assert tenant is not None
    return [run.folder for run in retire.due(watching.in_git(repository, "dev"), environment, {"team-a": tenant}, now)]


def keep_failed(platform: Path, duration: str) -> None:
    """Let the tenant's file say it."""
    tenant = platform / "tenants/team-a/tenant.yaml"
    tenant.write_text(f"{tenant.read_text()}keep_failed: {duration}\n")


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
        outcome("cancelled", version=None),
    ],
    ids=["running", "unpublished", "unmeasured", "cancelled"],
)
def test_nothing_else_leaves(platform: Path, ended: Outcome | None) -> None:
    """An unpublished run never, whatever its age; a cancelled one's overlay is the cancellation's matter."""
    authorize(platform, ended=ended)
    assert due(platform, datetime(2036, 1, 1, tzinfo=UTC)) == []


def test_a_failed_run_leaves_after_keep_finished(platform: Path) -> None:
    """Whether anything could be measured of it or not."""
    authorize(platform, ended=outcome("failed", version=None, hours=None))
    assert due(platform, LATER - timedelta(seconds=1)) == []
    assert due(platform) == [PLAIN]


def test_the_tenants_file_says_how_long_failed_runs_stay(platform: Path) -> None:
    """Longer or shorter than finished ones, of which it says nothing."""
    keep_failed(platform, "30d")
    authorize(platform, ended=outcome("failed", version=None))
    authorize(platform, ADAPTER_ONLY, outcome(version=None))
    assert due(platform) == [ADAPTER_ONLY]
    assert due(platform, END + timedelta(days=30)) == [ADAPTER_ONLY, PLAIN]


def test_a_failed_run_stays_while_its_publication_is_repeated(platform: Path) -> None:
    """However short a time the tenant names."""
    keep_failed(platform, "1h")
    authorize(platform, ended=outcome("failed", version=None))
    assert due(platform, END + repairs.GIVE_UP_AFTER - timedelta(seconds=1)) == []
    assert due(platform, END + repairs.GIVE_UP_AFTER) == [PLAIN]


def test_a_retired_failed_run_runs_again_as_its_next_attempt(
    platform: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its record stays, and with it the outcome, the run id and the rule that an attempt is authorized once."""
    made = authorize(platform, ended=outcome("failed", version=None))
    runs = [run for run in watching.in_git(Repository(platform), "dev") if run.folder == PLAIN]
    apply(platform, retire.retirement(runs, LATER).changes)
    assert main(["expand", "--check", "--repo", str(platform)]) == 0, capsys.readouterr().out
    record = watching.record_at(Repository(platform), made.file)
    assert record is not None
    assert record.attempts == made.attempts
    experiment = f"experiments/team-a/{made.experiment}.yaml"

    def wanted() -> tuple[str, str]:
        run, _ = examine(Planner(Repository(platform)), experiment, faulty=False, plan=True)
        return run.action, run.plan.lock.run_id if run.plan else ""

    assert wanted() == ("nothing", made.run_id)
    (platform / experiment).write_text(f"{(platform / experiment).read_text()}attempt: 2\n")
    assert wanted() == ("again", made.run_id)


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
