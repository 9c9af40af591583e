"""`python -m ci.registrations` on the repository's own demo overlay."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci.registrations import main, read_lock, registration, row
from tools.formats.lock import Lock, LockedPublish

OVERLAY = Path(__file__).parents[3] / "overlays/dev/team-a/exp-001"


@pytest.fixture(scope="module")
def lock() -> Lock:
    """The lock of the demo's overlay."""
    return read_lock(OVERLAY)


def published(lock: Lock, publish: LockedPublish | None) -> Lock:
    """The same lock with another `publish`."""
    return lock.model_copy(update={"run": lock.run.model_copy(update={"publish": publish})})


def test_table_has_a_row_for_each_overlay(lock: Lock, capsys: pytest.CaptureFixture[str]) -> None:
    """A row names the run, the Application and Job that run it, and the registered model."""
    assert main([str(OVERLAY)]) == 0
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert header == "| run id | Application | Job | registers as |"
    assert rule.count("---") == header.count("|") - 1
    assert rows == [row(lock)]
    assert rows[0].startswith(f"| {lock.run_id} | team-a.exp-001 | {lock.run_id}-a{lock.attempt} | ")


def test_merged_run_registers_under_the_tenants_name(lock: Lock) -> None:
    """With `merge: true` the PostSync Job registers the model by itself."""
    publish = LockedPublish(model_name="team-a.support-assistant", merge=True)
    assert registration(published(lock, publish)) == "team-a.support-assistant"


def test_manual_merge_says_who_starts_it(lock: Lock) -> None:
    """With `merge: false` the row gives the command that registers the model later."""
    publish = LockedPublish(model_name="team-a.support-assistant", merge=False)
    expected = f"team-a.support-assistant, once somebody runs `ft publish {lock.run_id}`"
    assert registration(published(lock, publish)) == expected


def test_run_without_publish_registers_nothing(lock: Lock) -> None:
    """Without `publish` the adapter is the result."""
    assert registration(published(lock, None)) == "nothing: the adapter is the result"


def test_cancelled_run_registers_nothing(lock: Lock) -> None:
    """A cancelled run registers nothing, whatever its `publish` says."""
    publish = LockedPublish(model_name="team-a.support-assistant", merge=True)
    cancelled = published(lock, publish).model_copy(update={"state": "cancelled"})
    assert registration(cancelled) == "nothing: cancelled"
