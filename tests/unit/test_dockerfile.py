"""The Dockerfile keeps its promises: pinned by hash, no installers in the image, non-root, tini as process 1."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INSTALLERS = re.compile(r"\b(apt-get install|apk add|pip3? install|uv pip|gcc|g\+\+|build-essential|cmake|git clone)\b")
FLAG = re.compile(r"--\S+\s+")


@dataclass
class Stage:
    """One `FROM` and what follows it: (instruction, arguments) with continuation lines joined and comments left out."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The arguments of every such instruction, in order."""
        return [arguments for name, arguments in self.instructions if name == instruction]


def parse_dockerfile(text: str) -> list[Stage]:
    """The stages of a Dockerfile, following the reference's rules for comments, continuation lines and `FROM`."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(kept))
    stages: list[Stage] = []
    for line in filter(None, (line.strip() for line in joined.splitlines())):
        instruction, _, arguments = line.partition(" ")
        if instruction.upper() == "FROM":
            stages.append(Stage(base=arguments.split()[0]))
        elif stages:
            stages[-1].instructions.append((instruction.upper(), arguments.strip()))
    return stages


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    """The stages of the repository's Dockerfile."""
    return parse_dockerfile((ROOT / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def last(stages: list[Stage]) -> Stage:
    """The stage that becomes the image."""
    return stages[-1]


def pins(path: Path) -> dict[str, str]:
    """Package -> exact version, from a compiled requirements file."""
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


def copied_from_context(stages: list[Stage]) -> list[str]:
    """What the build takes from the repository: the sources of every `COPY` that is not from another stage."""
    copies = [arguments for stage in stages for arguments in stage.all("COPY") if "--from=" not in arguments]
    return [source for arguments in copies for source in shlex.split(FLAG.sub("", arguments))[:-1]]


def environment(stage: Stage) -> dict[str, str]:
    """The variables that the stage's `ENV` instructions set."""
    return dict(word.split("=", 1) for arguments in stage.all("ENV") for word in shlex.split(arguments))


def test_base_image_is_one_argument_with_python_on_debian_12(stages: list[Stage]) -> None:
    """Every stage stands on BASE_IMAGE, so the environment's interpreter is the one it was made with."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert [stage.base for stage in stages] == ["${BASE_IMAGE}", "${BASE_IMAGE}", "${BASE_IMAGE}", "packages"]
    assert re.search(r"^ARG BASE_IMAGE=python:3\.11-slim-bookworm$", text, re.MULTILINE)


def test_every_package_is_installed_by_hash(stages: list[Stage]) -> None:
    """Each installation in the build names a compiled file with hashes and takes wheels only."""
    runs = [run for stage in stages for run in stage.all("RUN")]
    installs = [found for run in runs for found in re.findall(r"pip install.*?(?:;|$)", run)]
    assert len(installs) == 2
    assert all("--require-hashes" in install and "--only-binary :all:" in install for install in installs)
    assert [re.findall(r"--requirement (\S+?);?$", install)[0] for install in installs] == [
        "requirements/bootstrap.txt",
        "/opt/requirements.txt",
    ]
    assert stages[1].all("COPY") == ["requirements/runner.txt /opt/requirements.txt"]


@pytest.mark.parametrize("name", ["bootstrap.txt", "runner.txt"])
def test_requirements_have_a_hash_for_every_pin(name: str) -> None:
    """No line of the files that the image is made from lacks its hash, and none names an index."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert blocks
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert "index-url" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE)


def test_pinned_versions_agree_with_pyproject() -> None:
    """What pyproject.toml pins for the runner is what the image gets: LLaMA Factory 0.9.5 and its torch."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    exact = dict(one.split("==") for one in project["optional-dependencies"]["runner"] if "==" in one)
    pinned = pins(ROOT / "requirements/runner.txt")
    assert exact["llamafactory"] == "0.9.5"
    assert {name: pinned.get(name) for name in exact} == exact
    assert any(name.startswith("nvidia-") for name in pinned), "torch is not the CUDA build"


def test_last_stage_installs_nothing(last: Stage) -> None:
    """The image's own stage runs no installer and takes away the ones that its base brings."""
    runs = " ".join(last.all("RUN"))
    assert INSTALLERS.findall(runs) == []
    assert "pip uninstall --yes pip setuptools wheel" in runs
    assert "ensurepip" in runs
    assert last.all("COPY") == ["--from=installers /usr/bin/tini /usr/bin/tini", "--from=app /build/app /app"]


def test_packages_are_installed_by_a_mounted_installer(stages: list[Stage]) -> None:
    """The stage that the image stands on mounts the installer, so that nothing of it stays, and holds nothing else."""
    compiler, run = stages[1].all("RUN")
    assert INSTALLERS.findall(compiler) == ["apt-get install", "gcc", "gcc"]
    assert "#include <Python.h>" in compiler, "the build tries what Triton will do"
    assert "--mount=type=bind,from=installers,source=/build/bootstrap/bin,target=/run/installers" in run
    assert INSTALLERS.findall(run) == ["uv pip"]
    assert run.count("/run/installers/uv ") == 2


def test_image_runs_as_a_numeric_non_root_user(last: Stage) -> None:
    """The user is numeric, which `runAsNonRoot` needs to check it, and exists with that UID and GID."""
    assert last.all("USER") == ["10001:10001"]
    assert "--uid 10001 --gid 10001" in " ".join(last.all("RUN"))
    after = [name for name, _ in last.instructions[last.instructions.index(("USER", "10001:10001")) :]]
    assert after == ["USER", "ENTRYPOINT"]


def test_another_uid_can_run_it(last: Stage) -> None:
    """A UID without a passwd entry finds its name and a writable home in the environment."""
    variables = environment(last)
    assert variables["HOME"] == "/home/trainer"
    assert "chmod 1777 /home/trainer" in " ".join(last.all("RUN"))
    assert variables["USER"] == variables["LOGNAME"] == "trainer"


def test_tini_is_process_1_and_arguments_go_to_the_runner(last: Stage) -> None:
    """The entry point is the exec form, so a Job's `args` reach the runner and its SIGTERM reaches every process."""
    (entry_point,) = last.all("ENTRYPOINT")
    assert json.loads(entry_point) == ["/usr/bin/tini", "-g", "--", "python", "-m", "runner"]
    assert last.all("CMD") == []


def test_image_writes_nothing_outside_home_and_asks_no_hub(last: Stage) -> None:
    """The read-only root gets no bytecode, and no library waits for a hub that a Job cannot reach."""
    variables = environment(last)
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert [variables[name] for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")] == ["1"] * 3
    assert "NVIDIA_VISIBLE_DEVICES" not in variables


def test_own_code_comes_after_the_packages(stages: list[Stage]) -> None:
    """A change of tools/ or runner/ leaves the layer with the packages as it is."""
    _, packages, app, last = stages
    assert app.all("COPY") == ["tools app/tools", "runner app/runner"]
    assert not [arguments for _, arguments in packages.instructions if "tools" in arguments or "runner " in arguments]
    assert last.all("COPY")[-1] == "--from=app /build/app /app"
    assert "RUN" not in [name for name, _ in last.instructions[last.instructions.index(("ENV", last.all("ENV")[0])) :]]


def test_own_code_is_writable_for_nobody(stages: list[Stage]) -> None:
    """Whatever the checkout's modes are, the image's copy can be read by every UID and written by none."""
    assert stages[2].all("RUN")[-1].endswith("chmod -R a=rX app")


def test_build_context_holds_exactly_what_is_copied(stages: list[Stage]) -> None:
    """The .dockerignore shuts out everything but the paths that the Dockerfile copies."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert sorted(rule[1:] for rule in rules if rule.startswith("!")) == sorted(copied_from_context(stages))


def test_pipeline_builds_when_anything_that_is_copied_changes(stages: list[Stage]) -> None:
    """The build job's `changes` cover the Dockerfile and every path that it copies."""
    pipeline = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))
    patterns: list[str] = pipeline["build"]["rules"][0]["changes"]
    sources = ["Dockerfile", ".dockerignore", *copied_from_context(stages)]
    examples = [f"{source}/a/b.py" if (ROOT / source).is_dir() else source for source in sources]
    assert [one for one in examples if not any(fnmatch(one, pattern) for pattern in patterns)] == []
