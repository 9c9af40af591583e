from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.cli import main

PLAIN = "overlays/dev/team-a/plain"


def findings(platform: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """Place and rule of what `ft expand --check` finds."""
    capsys.readouterr()
    code = main(["expand", "--check", "--format", "json", "--repo", str(platform)])
    found = json.loads(capsys.readouterr().out)
    assert code == (1 if found else 0)
    return [(f"{item['file']}:{item['line']}", item["rule"]) for item in found]


def edited(file: str, old: str, new: str) -> Callable[[Path], None]:
    """A change of one text in one file."""

    def change(platform: Path) -> None:
        text = (platform / file).read_text()
        assert old in text
        (platform / file).write_text(text.replace(old, new, 1))

    return change


def test_overlays_as_written_have_no_findings(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `ft expand` wrote passes its own check."""
    assert findings(platform, capsys) == []


def test_an_experiment_without_an_overlay_is_no_fault(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is simply not authorized yet."""
    shutil.rmtree(platform / PLAIN)
    assert findings(platform, capsys) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (edited("overlays/dev/team-b/cpu/train.yaml", 'cpu: "4"', 'cpu: "5"'), "overlays/dev/team-b/cpu/train.yaml:26 expand-changed"),
        (edited(f"{PLAIN}/kustomization.yaml", "namespace:", "namespace: x\n#"), f"{PLAIN}/kustomization.yaml:4 expand-changed"),
        (edited(f"{PLAIN}/run.yaml", "lora_rank: 16", "lora_rank: 17"), f"{PLAIN}/run.yaml:5 expand-hash"),
        (edited(f"{PLAIN}/run.yaml", "# The lock", "# the lock"), f"{PLAIN}/run.yaml:2 expand-changed"),
        (edited(f"{PLAIN}/run.yaml", "version: 1", "version: 2"), f"{PLAIN}/run.yaml:3 value"),
        (edited("overlays/dev/_tenants/team-b/base-models.yaml", "tiny", "huge"), "overlays/dev/_tenants/team-b/base-models.yaml:11 expand-changed"),
        (edited("overlays/dev/_tenants/team-b/lock.yaml", "ewa.lis", "me"), "overlays/dev/_tenants/team-b/lock.yaml:4 expand-hash"),
        (edited("experiments/team-a/plain.yaml", "lora_rank: 16", "lora_rank: 17"), "experiments/team-a/plain.yaml:9 expand-experiment"),
        (edited("base/training/v1/job.yaml", "backoffLimit: 6", "backoffLimit: 9"), "base/training/v1.sha256:2 expand-base"),
        (lambda root: (root / "experiments/team-a/plain.yaml").unlink(), f"{PLAIN}/run.yaml:1 expand-experiment"),
        (lambda root: (root / "overlays/dev/team-b/cpu/train.yaml").unlink(), "overlays/dev/team-b/cpu/train.yaml:1 expand-missing"),
        (lambda root: (root / PLAIN / "run.yaml").unlink(), f"{PLAIN}/run.yaml:1 file-kind"),
        (lambda root: (root / PLAIN / "extra.yaml").write_text("x: 1\n"), f"{PLAIN}/extra.yaml:1 expand-leftover"),
        (lambda root: (root / PLAIN / "nested").mkdir(), f"{PLAIN}/nested:1 expand-leftover"),
        (lambda root: (root / "overlays/dev/README.md").write_text("x"), "overlays/dev/README.md:1 expand-leftover"),
        (lambda root: (root / "overlays/dev/team-a/.plain.new").mkdir(), "overlays/dev/team-a/.plain.new:1 expand-leftover"),
        (lambda root: shutil.copytree(root / PLAIN, root / "overlays/dev/team-a/copy"), "overlays/dev/team-a/copy/run.yaml:12 expand-path"),
        (lambda root: shutil.move(root / PLAIN, root / "overlays/prod/team-a/plain"), "overlays/prod/team-a/plain/run.yaml:12 expand-path"),
        (lambda root: (root / "base/training/v1/more.yaml").write_text("x: 1\n"), "base/training/v1.sha256:1 expand-base"),
        (lambda root: shutil.rmtree(root / "base/training/v1"), "base/training/v1.sha256:1 expand-base"),
        (lambda root: (root / "base/training/v1.sha256").unlink(), "base/training/v1.sha256:1 expand-base"),
    ],
)  # fmt: skip
def test_every_way_to_tamper_is_found(
    platform: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object], expected: str
) -> None:
    """Edited, missing, added, moved and copied files each give one finding at their place."""
    change(platform)
    assert [" ".join(finding) for finding in findings(platform, capsys)] == [expected]


def test_a_link_in_an_overlay_is_found(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is a symbolic link could change without the overlay changing."""
    file = platform / PLAIN / "kustomization.yaml"
    (platform / "elsewhere.yaml").write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(platform / "elsewhere.yaml")
    assert (f"{PLAIN}/kustomization.yaml:1", "expand-leftover") in findings(platform, capsys)


def test_written_out_defaults_and_comments_are_no_change(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An experiment may be explained after it was authorized, as long as it says the same."""
    with (platform / "experiments/team-a/plain.yaml").open("a") as stream:
        stream.write("# as discussed\nstage: sft\n")
    assert findings(platform, capsys) == []
