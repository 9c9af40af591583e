"""GPU-hours of the month: measured ones replace what a run may use at most."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from tests.audited import PLAIN, authorization, authorize, outcome, write
from tests.platform_copy import expanded_platform
from tools.audits import Spent
from tools.cli import main
from tools.formats.audit import Attempt
from tools.locks import Locks

MONTH = "2026-11"
LIMIT = 8.0  # GPU-hours of `plain`: one GPU for its time limit


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """The fixture's platform with all its overlays."""
    return expanded_platform(tmp_path / "platform")


def hours(platform: Path, month: str = MONTH) -> float:
    """GPU-hours of team A in dev, without `adapter-only`, which is not authorized."""
    shutil.rmtree(platform / "overlays/dev/team-a/adapter-only", ignore_errors=True)
    return Locks(platform, month).gpu_hours("dev", "team-a")


def asked(experiment: Path, platform: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the rule `gpu-hours` says of an experiment, empty when it fits."""
    capsys.readouterr()
    main(["validate", str(experiment), "--repo", str(platform)])
    lines = capsys.readouterr().out.splitlines()
    return "\n".join(line for line in lines if " gpu-hours: " in line)


def test_a_run_counts_its_time_limit_until_it_is_over(platform: Path) -> None:
    """Nobody knows yet how long it will take; lock and record are one run."""
    authorize(platform)
    assert hours(platform) == LIMIT


def test_measured_hours_replace_the_limit(platform: Path) -> None:
    """A run that took an hour and a half leaves the rest to others."""
    authorize(platform, ended=outcome(hours=1.5))
    assert hours(platform) == 1.5


def test_an_outcome_without_measurement_counts_the_limit(platform: Path) -> None:
    """What cannot be measured is not free."""
    authorize(platform, ended=outcome("cancelled", hours=None, version=None))
    assert hours(platform) == LIMIT


def test_a_retired_run_still_counts(platform: Path) -> None:
    """Its overlay is gone, its hours were used."""
    authorize(platform, ended=outcome(hours=1.5))
    shutil.rmtree(platform / PLAIN)
    assert hours(platform) == 1.5


def test_another_months_run_does_not_count(platform: Path) -> None:
    """A calendar month's quota is for its own runs."""
    authorize(platform, ended=outcome(hours=1.5))
    assert hours(platform, "2026-12") == 0


def test_each_attempt_counts_in_its_own_month(platform: Path) -> None:
    """A failed attempt of October keeps its measured hours; the second one counts its limit in November."""
    made = authorize(platform, ended=outcome("failed", hours=2.5, version=None), at="2026-10-31T23:59:59Z")
    second = Attempt(attempt=2, authorized=authorization("2026-11-01T00:00:00Z"), outcome=None)
    write(platform, made.model_copy(update={"attempts": [*made.attempts, second]}))
    assert (hours(platform, "2026-10"), hours(platform, "2026-11")) == (2.5, LIMIT)
    assert Locks(platform, MONTH).spent("dev", "team-a") == [Spent(made.run_id, 2, MONTH, LIMIT)]


def test_a_record_that_cannot_be_read_leaves_the_lock_to_count(platform: Path) -> None:
    """A link or a torn file neither stops validation nor frees quota."""
    path = platform / authorize(platform, at=f"{MONTH}-03T10:00:00Z").file
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert hours(platform) == LIMIT


def test_a_raised_attempt_is_asked_for_again(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`attempt: 2` may use its whole limit again, so it must fit on top of what the first one took."""
    month = Locks(platform).month
    authorize(platform, ended=outcome("failed", hours=7.5, version=None), at=f"{month}-01T00:00:00Z")
    shutil.rmtree(platform / "overlays/dev/team-a/adapter-only")
    experiment = platform / "experiments/team-a/plain.yaml"
    tenant = platform / "tenants/team-a/tenant.yaml"
    text = re.sub("gpu_hours_per_month: [0-9]+", "gpu_hours_per_month: 15", tenant.read_text())
    tenant.write_text(text)
    assert asked(experiment, platform, capsys) == ""
    with experiment.open("a") as stream:
        stream.write("attempt: 2\n")
    found = asked(experiment, platform, capsys)
    assert "8 GPU-hours on top of 7.5 this month in dev; allowed: at most 15" in found


def test_a_retired_experiment_is_not_asked_for_again(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its file stays, its hours are counted by its record; a file that says something else is a new run."""
    month = Locks(platform).month
    experiment = platform / "experiments/team-a/plain.yaml"
    made = authorize(platform, ended=outcome(hours=7.5), at=f"{month}-01T00:00:00Z")
    digest = hashlib.sha256(experiment.read_bytes()).hexdigest()
    write(platform, made.model_copy(update={"hashes": made.hashes.model_copy(update={"experiment": digest})}))
    for name in ("plain", "adapter-only"):
        shutil.rmtree(platform / "overlays/dev/team-a" / name)
    tenant = platform / "tenants/team-a/tenant.yaml"
    text = re.sub("gpu_hours_per_month: [0-9]+", "gpu_hours_per_month: 15", tenant.read_text())
    tenant.write_text(text)
    assert asked(experiment, platform, capsys) == ""
    experiment.write_text(experiment.read_text().replace("lora_rank: 16", "lora_rank: 8"))
    assert "8 GPU-hours on top of 7.5 this month" in asked(experiment, platform, capsys)
