"""`ft storage report`: what is counted, whose it is, and what hostile content does to it (nothing)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.storage.conftest import Place
from tools.cli import main


def test_bytes_are_those_of_du(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Each part is as large on the disk as du says; a file of two names counts once."""
    run_id = place.run("done", ended_days_ago=1)
    folder = place.holds(f"output/checkpoints/{run_id}", 70_000)
    os.link(folder / "model.safetensors", folder / "inner" / "again.safetensors")
    du = subprocess.run(["du", "-s", "--block-size=1", folder], capture_output=True, text=True, check=True)
    data = place.report(capsys)
    assert data["parts"][f"output/checkpoints/{run_id}"]["bytes"] == int(du.stdout.split()[0])
    assert data["used_bytes"] == sum(part["bytes"] for part in data["parts"].values())
    assert data["quota_bytes"] == 200 << 30


def test_runs_have_their_state_and_all_their_parts(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Checkpoints, adapter, evaluation and model of a run stand together, with what git says of it."""
    run_id = place.run("done", ended_days_ago=9)
    for folder in ("output/checkpoints", "output/lora-adapter", "evaluation", "models/merged-model/support"):
        place.holds(f"{folder}/{run_id}")
    (run,) = place.report(capsys)["runs"]
    assert (run["run_id"], run["experiment"], run["state"]) == (run_id, "done", "finished")
    assert {part["kind"] for part in run["parts"]} == {"checkpoints", "adapter", "evaluation", "model"}
    main(place.call("report"))
    assert f"{run_id}  finished " in capsys.readouterr().out


def test_above_the_quota_is_a_finding(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """More on the disk than the tenant may have ends in exit code 1 and says so."""
    tenant = place.platform / "tenants" / "team-a" / "tenant.yaml"
    tenant.write_text(tenant.read_text().replace("quota:\n", "quota:\n  storage_gib: 1\n"))
    with (place.storage / "huge").open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, (1 << 30) + 1)
    assert main(place.call("report")) == 1
    assert "above the quota: 1.0 GiB > 1.0 GiB" in capsys.readouterr().out


def test_nothing_outside_the_storage_is_counted_or_named_a_run(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Links in the place of folders, of runs and of files count as links; what they lead to is never entered."""
    run_id = place.run("done", ended_days_ago=400)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "large").write_bytes(b"x" * 1_000_000)
    place.holds("output/lora-adapter/notes")
    (place.storage / "models").symlink_to(outside)
    (place.storage / "output" / "checkpoints").symlink_to(outside)
    (place.storage / "output" / "lora-adapter" / run_id).symlink_to(outside)
    (place.storage / "output" / "lora-adapter" / "notes" / "link").symlink_to(outside / "large")
    data = place.report(capsys)
    assert data["runs"] == []
    assert {part["kind"] for part in data["others"]} == {"other"}
    assert {"models", "output/checkpoints", f"output/lora-adapter/{run_id}"} <= data["parts"].keys()
    assert data["used_bytes"] < 100_000


@pytest.mark.parametrize("name", [b"\xff\xfe-odd", b"new\nline", b"\x1b[31mred", b"--yes", b" "])
def test_odd_names_are_shown_harmlessly(place: Place, name: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Names that are no text, or would draw on a terminal, are quoted; JSON is valid; nothing of it may go."""
    place.holds("output/checkpoints/anything")
    os.mkdir(os.path.join(os.fsencode(place.storage), b"output", b"checkpoints", name))  # noqa: PTH102, PTH118 - bytes
    data = place.report(capsys)
    assert data["removable_bytes"] == 0
    assert len(data["others"]) == 2
    assert main(place.call("report")) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert all(line.startswith(("  ", "team-a", "of no run", "nothing")) or not line for line in out.splitlines())


def test_folders_that_lie_too_deep_are_not_followed_and_stay(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A chain of a thousand folders neither ends the report nor goes with a prune."""
    run_id = place.run("done", ended_days_ago=400)
    folder = place.holds(f"output/checkpoints/{run_id}")
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1000):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    removable, reason = place.reason(capsys, folder)
    assert (removable, "deeper than 32" in reason) == (False, True)
    subprocess.run(["rm", "-r", folder], check=True)  # pytest's own clean-up would recurse


def test_many_files_are_counted(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of ten thousand files is one part with all of them."""
    run_id = place.run("done", ended_days_ago=1)
    folder = place.holds(f"evaluation/{run_id}")
    for number in range(10_000):
        (folder / f"{number}.json").touch()
    assert place.report(capsys)["parts"][f"evaluation/{run_id}"]["files"] == 10_002


def test_a_tenant_or_folder_that_is_not_there_is_wrong_usage(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what is missing and what to call."""
    assert main(["storage", "report", "team-z", "--storage", str(place.storage), "--repo", str(place.platform)]) == 2
    assert "`ft validate tenants/team-z`" in capsys.readouterr().err
    missing = place.call("report")
    missing[missing.index("--storage") + 1] = str(place.storage / "missing")
    assert main(missing) == 2
    assert main(place.call("report", "--env", "test")) == 2
    assert "allowed: dev, prod" in capsys.readouterr().err
