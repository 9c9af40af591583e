"""A tenant that leaves: refused while it has runs, then removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.unit.expand.test_expand_command import edit, expand
from tools.cli import main

OWN, RUN = "overlays/dev/_tenants/team-b", "overlays/dev/team-b/cpu"


def leave(platform: Path) -> None:
    """Remove everything that people wrote about team-b."""
    shutil.rmtree(platform / "tenants/team-b")
    shutil.rmtree(platform / "experiments/team-b")


def test_a_tenant_with_runs_is_not_removed(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage, which names the runs and the way out; the overlay stays."""
    leave(platform)
    assert expand(platform, "--tenants") == 2
    message = capsys.readouterr().err
    assert f"tenant team-b is gone from dev, but 1 of its runs are not: {RUN}" in message
    assert "state: cancelled" in message
    assert (platform / OWN / "lock.yaml").is_file()


def test_the_check_finds_a_tenant_that_left_its_runs(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A merge request that removes the tenant fails, at the overlay that would go."""
    leave(platform)
    capsys.readouterr()
    assert main(["expand", "--check", "--format", "json", "--repo", str(platform)]) == 1
    found = {(item["file"], item["rule"]) for item in json.loads(capsys.readouterr().out)}
    assert (f"{OWN}/lock.yaml", "expand-tenant") in found


def test_a_tenant_without_runs_is_removed(platform: Path) -> None:
    """Its overlay goes, other tenants' stay, and the check is content."""
    shutil.rmtree(platform / "overlays/dev/team-b")
    leave(platform)
    assert expand(platform, "--check") == 0
    assert expand(platform, "--tenants") == 0
    assert not (platform / OWN).exists()
    assert (platform / "overlays/dev/_tenants/team-a/lock.yaml").is_file()
    assert expand(platform, "--check") == 0


def test_a_tenant_leaves_one_environment(platform: Path) -> None:
    """Only the overlay of the environment that it no longer names goes."""
    shutil.rmtree(platform / "overlays/prod/team-a")
    edit(platform / "tenants/team-a/tenant.yaml", "environments: [dev, prod]", "environments: [dev]")
    assert expand(platform, "--tenants") == 0
    assert not (platform / "overlays/prod/_tenants/team-a").exists()
    assert (platform / "overlays/dev/_tenants/team-a/lock.yaml").is_file()


def test_a_typo_removes_nobody(platform: Path) -> None:
    """A tenant.yaml with a fault is wrong usage, not a tenant that left."""
    shutil.rmtree(platform / "overlays/dev/team-b")
    edit(platform / "tenants/team-b/tenant.yaml", "quota:", "qouta:")
    assert expand(platform, "--tenants") == 2
    assert (platform / OWN / "lock.yaml").is_file()


def test_another_environment_is_left_alone(platform: Path) -> None:
    """A cluster's bot removes its own cluster's overlays only."""
    shutil.rmtree(platform / "overlays/dev/team-b")
    leave(platform)
    assert expand(platform, "--tenants", "--environment", "prod") == 0
    assert (platform / OWN).is_dir()


def test_a_tenant_of_an_unknown_environment_is_wrong_usage(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The environment says where the tenant's storage and MLflow are; without it there is nothing to write."""
    (platform / "environments/prod.yaml").unlink()
    assert expand(platform, "--tenants") == 2
    assert "there is no valid environments/prod.yaml" in capsys.readouterr().err
