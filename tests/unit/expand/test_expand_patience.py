"""How long runs bear a stall or a failing storage is the environment's to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.settings import STALL, STORAGE_WAIT
from tests.platform_copy import tree
from tools.cli import main

PLAIN = "experiments/team-a/plain.yaml"
OVERLAY = "overlays/dev/team-a/plain"


def expand(repository: Path, patience: dict[str, Any] | None) -> int:
    """Write the limits into the environment `dev` and expand the experiment there."""
    environment = repository / "environments/dev.yaml"
    content = yaml.safe_load(environment.read_text()) | ({"patience": patience} if patience is not None else {})
    environment.write_text(yaml.safe_dump(content, sort_keys=False))
    return main(["expand", str(repository / PLAIN), "--repo", str(repository)])


def variables(repository: Path) -> list[Any]:
    """What the overlay's patch adds to the container's environment."""
    patch = yaml.safe_load((repository / OVERLAY / "train.yaml").read_text())
    return [item["value"] for item in patch if item["path"].endswith("/spec/template/spec/containers/0/env/-")]


@pytest.mark.parametrize("nodes", [1, 2])
def test_both_limits_reach_the_runner(bare: Path, nodes: int, capsys: pytest.CaptureFixture[str]) -> None:
    """As the variables that the runner reads, in a Job and in the Job of a JobSet, and they build."""
    experiment = bare / PLAIN
    if nodes > 1:
        experiment.write_text(experiment.read_text() + f"resources: {{gpus: 1, nodes: {nodes}, time_limit: 1h}}\n")
    assert expand(bare, {"stall_seconds": 900, "storage_wait_seconds": 0}) == 0
    assert variables(bare) == [{"name": STALL[0], "value": "900"}, {"name": STORAGE_WAIT[0], "value": "0"}]
    lock = yaml.safe_load((bare / OVERLAY / "run.yaml").read_text())
    assert lock["run"]["patience"] == {"stall_seconds": 900, "storage_wait_seconds": 0}
    assert main(["expand", "--check", "--repo", str(bare)]) == 0
    capsys.readouterr()
    assert main(["render", str(bare / OVERLAY), "--repo", str(bare)]) == 0
    assert capsys.readouterr().out.count("name: RUNNER_S") == len(variables(bare))


def test_one_limit_leaves_the_other_to_the_runner(bare: Path) -> None:
    """Only what the environment says is written down."""
    assert expand(bare, {"stall_seconds": 900}) == 0
    assert variables(bare) == [{"name": STALL[0], "value": "900"}]


def test_without_limits_nothing_is_written(platform: Path) -> None:
    """Runs from before there was such a field keep their bytes."""
    assert b"patience" not in b"".join(tree(platform / "overlays").values())


@pytest.mark.parametrize(
    ("patience", "found"),
    [
        ({"stall_seconds": 59}, "60"),
        ({"stall_seconds": 86401}, "86400"),
        ({"storage_wait_seconds": -1}, "0"),
        ({"storage_wait_seconds": "10m"}, "a whole number"),
        ({"stall": 900}, "stall_seconds"),
    ],
)
def test_a_limit_that_is_none_is_refused(
    bare: Path, patience: dict[str, Any], found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its place in the file and what is allowed."""
    environment = bare / "environments/dev.yaml"
    environment.write_text(environment.read_text() + yaml.safe_dump({"patience": patience}))
    assert main(["validate", str(environment), "--repo", str(bare)]) == 1
    out = capsys.readouterr().out
    assert "environments/dev.yaml:" in out
    assert found in out
