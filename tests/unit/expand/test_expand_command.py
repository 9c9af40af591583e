from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.platform_copy import tree
from tools.cli import main
from tools.errors import ToolFault
from tools.expand import locks, store
from tools.repository import Repository
from tools.yamlsource import MAX_BYTES

PLAIN = "experiments/team-a/plain.yaml"
OVERLAY = "overlays/dev/team-a/plain"


def edit(file: Path, old: str, new: str) -> None:
    """Replace a text that is there."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def expand(platform: Path, *arguments: str) -> int:
    """Call `ft expand` on the platform."""
    return main(["expand", *arguments, "--repo", str(platform)])


def test_only_the_named_experiment_is_expanded(bare: Path) -> None:
    """Other experiments stay unauthorized."""
    assert expand(bare, str(bare / PLAIN)) == 0
    assert {path.split("/")[2] for path in tree(bare / "overlays")} == {"plain"}


def test_an_environment_can_be_chosen(bare: Path) -> None:
    """A cluster's bot writes its own cluster's overlays only."""
    assert expand(bare, "--all", "--tenants", "--environment", "prod") == 0
    folders = {path.rpartition("/")[0] for path in tree(bare / "overlays")}
    assert folders == {"prod/team-a/large", "prod/_tenants/team-a"}


def test_an_experiment_with_faults_gets_no_overlay(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its findings are printed, and the other experiments are expanded all the same."""
    edit(bare / PLAIN, "lora_rank: 16", "lora_rnk: 16")
    assert expand(bare, "--all") == 1
    assert f"{PLAIN}:9:3: error train-unknown-key" in capsys.readouterr().out
    assert not (bare / OVERLAY).exists()
    assert (bare / "overlays/dev/team-b/cpu/run.yaml").is_file()


def test_a_new_image_touches_no_run_that_exists(platform: Path) -> None:
    """What was resolved when a run was authorized stays, whatever the environment says later."""
    before = tree(platform / "overlays")
    edit(platform / "environments/dev.yaml", "a" * 64, "f" * 64)
    assert expand(platform, "--all") == 0
    assert tree(platform / "overlays") == before


def test_a_raised_attempt_keeps_the_run_and_its_authorization(platform: Path) -> None:
    """Same run id, same approvals, another Job."""
    lock = platform / OVERLAY / "run.yaml"
    signed = (
        'authorized:\n  at: "2026-11-03T10:00:00Z"\n  commit: "%s"\n  merge_request: 7\n  approvers:\n    - maria\n'
        % ("1" * 40)
    )
    edit(lock, "authorized: null\n", signed)
    before = lock.read_text()
    with (platform / PLAIN).open("a") as stream:
        stream.write("attempt: 2\n")
    assert expand(platform, str(platform / PLAIN)) == 0
    assert lock.read_text() == before.replace("attempt: 1", "attempt: 2")
    assert "value: a2" in (platform / OVERLAY / "train.yaml").read_text()


def test_a_cancelled_experiment_loses_its_overlay(platform: Path) -> None:
    """`state: cancelled` removes the folder and nothing else."""
    with (platform / PLAIN).open("a") as stream:
        stream.write("state: cancelled\n")
    assert expand(platform, str(platform / PLAIN)) == 0
    assert not (platform / OVERLAY).exists()
    assert (platform / "overlays/dev/team-a/adapter-only").is_dir()


def test_a_changed_experiment_is_refused(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An authorized experiment does not change; the overlay stays as it was."""
    before = tree(platform / OVERLAY)
    edit(platform / PLAIN, "lora_rank: 16", "lora_rank: 32")
    assert expand(platform, str(platform / PLAIN)) == 1
    assert "lora_rank changed after" in capsys.readouterr().out
    assert tree(platform / OVERLAY) == before


def test_a_moved_default_environment_moves_no_run(platform: Path) -> None:
    """An experiment without `environment:` stays where it was authorized."""
    edit(platform / "tenants/team-a/tenant.yaml", "environments: [dev, prod]", "environments: [prod, dev]")
    assert expand(platform, str(platform / PLAIN)) == 0
    assert not (platform / "overlays/prod/team-a/plain").exists()


@pytest.mark.parametrize(
    "arguments", [[], ["--check", "--all"], ["tenants/team-a/tenant.yaml"], ["experiments/team-a/nothing.yaml"]]
)
def test_a_request_that_makes_no_sense_is_wrong_usage(platform: Path, arguments: list[str]) -> None:
    """Exit code 2, and nothing is written."""
    before = tree(platform)
    paths = [str(platform / argument) if "/" in argument else argument for argument in arguments]
    assert expand(platform, *paths) == 2
    assert tree(platform) == before


def test_leftovers_of_a_killed_call_do_no_harm(platform: Path) -> None:
    """Half-written temporary folders are cleared by the next call."""
    for name in (".plain.new", ".plain.old"):
        (platform / "overlays/dev/team-a" / name).mkdir()
        (platform / "overlays/dev/team-a" / name / "run.yaml").write_text("half")
    with (platform / PLAIN).open("a") as stream:
        stream.write("attempt: 2\n")
    assert expand(platform, str(platform / PLAIN)) == 0
    assert expand(platform, "--check") == 0


def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    """When a file cannot be written whole, nothing of the new content is seen."""
    folder = tmp_path / "overlay"
    store.replace(folder, {"run.yaml": b"old"})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(ToolFault, match="cannot be written"):
            store.replace(folder, {"run.yaml": b"new", "large.yaml": b"x" * 4096})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert tree(tmp_path) == {"overlay/run.yaml": b"old"}


def test_an_overlay_whose_lock_cannot_be_read_is_found_all_the_same(platform: Path) -> None:
    """Where the overlay lies is no matter of what is in it: `ft status` says what is wrong with the lock."""
    (platform / OVERLAY / "run.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    assert locks.of_experiment(Repository(platform), "team-a", "plain") == [OVERLAY]
