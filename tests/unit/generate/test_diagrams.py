"""The committed drawings are those of their PlantUML sources."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tools.errors import ToolFault
from tools.generate import diagrams

SOURCES = sorted(diagrams.FOLDER.glob("*.puml"))
CONCEPT = {"architecture", "workflow", "two-approaches", "components", "phases", "multi-tenant", "cicd-integration"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of docs/diagrams that a test may change."""
    return Path(shutil.copytree(diagrams.FOLDER, tmp_path / "diagrams"))


def words(svg: str) -> Counter[str]:
    """The words that a drawing shows: the same whatever fonts the machine has, unlike places and sizes."""
    return Counter(" ".join(re.findall(r"<text[^>]*>([^<]*)", svg)).split())


def test_every_diagram_of_the_concept_is_drawn() -> None:
    """The concept's seven diagrams have a source each, under the concept's names."""
    assert {source.stem for source in SOURCES} == {f"platform-{name}" for name in CONCEPT}


def test_committed_drawings_are_those_of_their_sources() -> None:
    """No drawing is missing, out of date, edited by hand or left over; needs no Java."""
    assert list(diagrams.check(diagrams.FOLDER)) == []


def test_a_changed_source_is_found(folder: Path) -> None:
    """A source that was edited without `make docs` is named with the remedy."""
    source = folder / "platform-phases.puml"
    source.write_text(source.read_text().replace("MVP", "First"))
    (found,) = diagrams.check(folder)
    assert found.startswith("docs/diagrams/platform-phases.svg: ")
    assert "make docs" in found


def test_a_changed_style_is_found_in_every_drawing(folder: Path) -> None:
    """The shared style belongs to each drawing."""
    style = folder / diagrams.STYLE
    style.write_text(style.read_text().replace("#FFF4D6", "#FF0000"))
    assert len(list(diagrams.check(folder))) == len(SOURCES)


def test_an_edited_missing_or_left_over_drawing_is_found(folder: Path) -> None:
    """Drawings are compared in both directions."""
    edited = folder / "platform-workflow.svg"
    edited.write_text(edited.read_text().replace("Training", "Resting"))
    (folder / "platform-phases.svg").unlink()
    (folder / "platform-plans.svg").write_text("<svg/>")
    assert [found.split(": ")[1].split()[0] for found in diagrams.check(folder)] == ["missing;", "no", "not"]


def test_drawings_load_nothing_from_elsewhere() -> None:
    """A drawing has no script, no picture and no link that a viewer would follow."""
    for source in SOURCES:
        svg = source.with_suffix(".svg").read_text()
        assert not re.search(r"<(?:script|image|a|use|foreignObject)\b", svg)


@pytest.mark.skipif(
    not (shutil.which("java") and diagrams.JAR.is_file()), reason="needs java on PATH and PlantUML (make docs)"
)
def test_drawing_again_gives_the_committed_drawings() -> None:
    """PlantUML draws from the sources what is committed, word by word."""
    drawn = diagrams.draw(diagrams.FOLDER)
    assert {name: words(text) for name, text in drawn.items()} == {
        name: words((diagrams.FOLDER / name).read_text()) for name in drawn
    }


@pytest.mark.skipif(
    not (shutil.which("java") and diagrams.JAR.is_file()), reason="needs java on PATH and PlantUML (make docs)"
)
def test_a_source_with_a_mistake_is_refused_by_name(folder: Path) -> None:
    """PlantUML's complaint reaches the user, and no drawing of an error message is written."""
    (folder / "platform-phases.puml").write_text("@startuml platform-phases\nthis is no diagram\n@enduml\n")
    with pytest.raises(ToolFault, match="platform-phases"):
        diagrams.draw(folder)


def test_without_java_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Java is told what is missing and how to get it."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolFault, match=r"java is not on PATH.*apt-get install"):
        diagrams.draw(diagrams.FOLDER)
