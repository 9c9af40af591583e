"""The documents are true: what they name exists, and what exists is named."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from tools import rules
from tools.cli import COMMANDS
from tools.formats.experiment import Experiment, Publish, Resources
from tools.rules import core

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "PRZEWODNIK-UZYCIA.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_shows_every_command(command: str) -> None:
    """Each command of ft stands in the README."""
    assert f"`ft {command}" in README


@pytest.mark.parametrize("module", rules.MODULES)
def test_guide_has_a_remedy_for_every_rule(module: str) -> None:
    """Each rule id stands in the guide's table of errors."""
    assert f"| `{importlib.import_module(f'tools.rules.{module}').ID}` |" in GUIDE


def test_every_other_finding_is_documented() -> None:
    """The ids that the code gives to findings of files and overlays are those of the rules page and of the guide."""
    sources = "".join(path.read_text() for path in (ROOT / "tools").rglob("*.py") if path.name != "core.py")
    used = set(re.findall(r'"((?:audit|expand|render|yaml|file)-[a-z-]+)"', sources)) - {"file-name"}
    documented = {name for name in {**core.DOCUMENTATION, **core.OVERLAYS} if "-" in name}
    assert used == documented - {"unknown-key", "required-key"}
    assert {name for name in {**core.DOCUMENTATION, **core.OVERLAYS} if f"| `{name}` |" not in GUIDE} == set()


def test_guide_explains_every_field_of_an_experiment() -> None:
    """No field of the format is missing from the guide's table."""
    fields = {name for name in Experiment.model_fields if name not in {"resources", "publish"}}
    fields |= {f"resources.{name}" for name in Resources.model_fields} | {
        f"publish.{name}" for name in Publish.model_fields
    }
    assert {name for name in fields if f"| `{name}` |" not in GUIDE} == set()


def test_architecture_names_every_top_level_folder() -> None:
    """The table of ARCHITECTURE.md has each tracked folder."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    folders = {line.partition("/")[0] for line in listed if "/" in line and not line.startswith(".")}
    assert {folder for folder in folders if f"| `{folder}/" not in ARCHITECTURE} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_and_make_targets_of_documents_exist(document: Path) -> None:
    """Every relative link leads to a file, and every `make TARGET` in a code block or span is a target."""
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []
    targets = set(re.findall(r"[`$] ?make ([a-z0-9-]+)", text))
    assert {target for target in targets if f"\n{target}:" not in MAKEFILE} == set()


def test_chapters_of_the_guide_are_those_of_its_contents() -> None:
    """The guide's table of contents lists its chapters in order."""
    contents = re.findall(r"^\d+\. \[(.+?)\]", GUIDE, re.MULTILINE)
    assert contents == re.findall(r"^## (.+)$", GUIDE, re.MULTILINE)
