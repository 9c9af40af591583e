"""Dependencies: pinned with hashes, light where light is promised, each with its reason."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = (ROOT / "pyproject.toml").read_text()


def names(file: Path) -> set[str]:
    """The packages that a requirements file pins."""
    return set(re.findall(r"^([a-z0-9_.-]+)(?:\[[a-z0-9,_-]+\])?==", file.read_text(), re.MULTILINE))


def canonical(requirement: str) -> str:
    """The name as package indexes write it: lower case, hyphens."""
    return re.sub(r"[._]", "-", re.split(r"[=<>~\[ ]", requirement)[0].lower())


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_every_package_is_pinned_with_hashes_and_names_no_host(file: Path) -> None:
    """Each requirement has a version and a SHA-256; no file says where packages come from."""
    text = file.read_text()
    blocks = [block for block in re.split(r"(?m)^(?=[a-z0-9])", text) if not block.startswith("#")]
    assert blocks
    assert all(
        re.match(r"[a-z0-9_.-]+(\[[a-z,]+\])?==\S+( ; .*)? \\\n    --hash=sha256:[0-9a-f]{64}", block)
        for block in blocks
    )
    assert "://" not in text


def test_the_light_environment_has_nothing_heavy() -> None:
    """`ft` needs neither torch nor MLflow nor LLaMA Factory."""
    for file in ("tools.txt", "dev.txt"):
        assert not names(ROOT / "requirements" / file) & {"torch", "mlflow", "llamafactory", "transformers", "peft"}


def test_the_pins_are_those_of_the_project() -> None:
    """Every dependency of pyproject.toml is in the pinned files."""
    project = tomllib.loads(PROJECT)
    light = {canonical(line) for line in project["project"]["dependencies"]}
    runner = {canonical(line) for line in project["project"]["optional-dependencies"]["runner"]}
    assert light <= names(ROOT / "requirements" / "tools.txt")
    assert light | runner <= names(ROOT / "requirements" / "runner.txt")


def test_every_dependency_says_why_it_is_there() -> None:
    """One line, one dependency, one reason."""
    tables = PROJECT[PROJECT.index("dependencies = [") : PROJECT.index("[project.scripts]")]
    listed = re.findall(r'^    ".*$', tables, re.MULTILINE)
    assert len(listed) > 15
    assert [line for line in listed if "#" not in line] == []
