"""The program that builds overlay after overlay in one process, against kustomize itself."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.platform_copy import OVERLAYS, ROOT
from tools.errors import ToolFault
from tools.expand import locks
from tools.render import gobuild, kustomizer
from tools.render.documents import read
from tools.render.kustomize import Kustomize
from tools.repository import Repository

PLAIN = "overlays/dev/team-a/plain"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that the set-up built, else one built here."""
    if shutil.which("go") is None and kustomizer.find() is None:
        pytest.skip("no go on PATH to build the program kustomizer with")
    return kustomizer.find() or gobuild.install(tmp_path_factory.mktemp("bin"))


def every_overlay(root: Path) -> list[str]:
    """All overlays of a repository: runs, tenants, platform."""
    repository = Repository(root)
    return locks.runs(repository) + locks.tenants(repository) + locks.platforms(repository)


def test_it_builds_what_kustomize_builds_of_every_overlay_here(program: Path) -> None:
    """Runs, tenants and the platform of this repository: the same objects in the same order."""
    overlays = every_overlay(ROOT)
    for built in kustomizer.build(program, ROOT, overlays):
        assert built.fault is None
        [expected] = Kustomize.find().build(ROOT, built.overlays)
        assert built.manifests == read(expected.manifests)


def test_it_builds_what_kustomize_builds_of_every_kind_of_run(program: Path, platform: Path) -> None:
    """With and without GPU, publishing, queue and another attempt."""
    for built in kustomizer.build(program, platform, list(OVERLAYS.values())):
        [expected] = Kustomize.find().build(platform, built.overlays)
        assert built.manifests == read(expected.manifests)


def test_an_overlay_that_does_not_build_is_the_only_one_with_a_fault(program: Path, platform: Path) -> None:
    """More overlays than the processes are given ahead; one of them is broken."""
    overlays = [*OVERLAYS.values()] * 8
    broken = platform / PLAIN / "train.yaml"
    broken.write_text("- {op: test, path: /kind, value: Pod}\n")
    (platform / PLAIN / "kustomization.yaml").write_text(
        "resources: [../../../../base/training/v1]\npatches: [{path: train.yaml, target: {kind: Job, name: a1}}]\n"
    )
    built = list(kustomizer.build(program, platform, overlays))
    assert [result.overlays for result in built] == [[overlay] for overlay in overlays]
    assert {result.overlays[0] for result in built if result.fault} == {PLAIN}


def test_a_program_that_crashes_is_a_fault_of_the_overlay_it_was_building(
    program: Path, platform: Path, tmp_path: Path
) -> None:
    """The others are built by a new process."""
    crashing = tmp_path / "crashing"
    marker = tmp_path / "crashed"
    crashing.write_text(
        f"#!/bin/sh\n[ -e {marker} ] && exec {program}\ntouch {marker}\necho 'panic: out of ideas' >&2\nkill -{signal.SIGKILL} $$\n"
    )
    crashing.chmod(0o755)
    overlays = list(OVERLAYS.values())
    built = list(kustomizer.build(crashing, platform, overlays))
    faults = [result.fault for result in built if result.fault]
    assert [result.overlays for result in built] == [[overlay] for overlay in overlays]
    assert 1 <= len(faults) <= (os.cpu_count() or 1)
    assert set(faults) == {"the program crashed: panic: out of ideas"}


def test_a_program_that_does_not_start_is_a_fault_of_the_tool(platform: Path, tmp_path: Path) -> None:
    """With what to do about it."""
    with pytest.raises(ToolFault, match="make setup"):
        list(kustomizer.build(tmp_path / "none", platform, list(OVERLAYS.values())))


def test_without_go_nothing_is_built_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller says so and goes on; `ft` then starts kustomize."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(ToolFault, match="no go on PATH"):
        gobuild.install(tmp_path / "bin")
    assert not (tmp_path / "bin").exists()


def test_a_failing_compiler_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-written program would be taken for a whole one."""
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho 'no network' >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ToolFault, match="no network"):
        gobuild.install(tmp_path / "bin")
    assert list((tmp_path / "bin").iterdir()) == []
