"""Every rule against its own good and bad files, found by their names.

`tests/fixtures/rules/<rule>/good-*` and `bad-*` are files of the rule's kind, or folders that are laid over the fixture
repository. Lines `# expect: LINE:COLUMN rule` in a file say all that must be found in it: nothing less, nothing more.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.unit.rules.expectations import FIXTURES, expected_in
from tools.repository import Repository
from tools.rules import MODULES, rules
from tools.validate import check, files

CASES = sorted(path for path in (FIXTURES / "rules").glob("*/*"))
PLACES = {
    "experiment": "experiments/team-a/{}.yaml",
    "dataset": "tenants/team-a/datasets/{}.yaml",
    "behaviour": "tenants/team-a/behaviours/{}.yaml",
    "model": "catalog/models/{}.yaml",
    "environment": "environments/{}.yaml",
}


def place(case: Path, root: Path) -> list[str]:
    """Put a case into the repository at `root`; the files that it brings, relative to the root."""
    if case.is_dir():
        shutil.copytree(case, root, dirs_exist_ok=True)
        brought = sorted(path.relative_to(case).as_posix() for path in case.rglob("*") if path.is_file())
        return [file for file in brought if not file.startswith("overlays/")]
    kind = next(rule.kind for rule in rules() if rule.id == case.parent.name)
    file = PLACES[kind].format(case.stem)
    shutil.copy(case, root / file)
    return [file]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_a_file_gets_exactly_the_findings_that_it_expects(case: Path, tmp_path: Path) -> None:
    """A good file has no findings; a bad one has those of its rule, each at its place, and no others."""
    root = tmp_path / "repository"
    shutil.copytree(FIXTURES / "repository", root)
    brought = place(case, root)
    repository = Repository(root)
    expected, found = [], []
    for file in brought:
        expected += [(file, *place) for place in expected_in(root / file)]
        found += [(f.file, f.line, f.column, f.rule) for f in check(repository, file)]
    assert found == expected, [f.message for file in brought for f in check(repository, file)]
    assert case.name.startswith("bad-") == bool(expected)
    assert all(rule == case.parent.name for *_, rule in found)


def test_every_rule_has_good_and_bad_files() -> None:
    """A rule without a good and a bad file is not tested; a folder without a rule tests nothing."""
    kinds = {(case.parent.name, case.name.partition("-")[0]) for case in CASES}
    assert kinds == {(rule.id, kind) for rule in rules() for kind in ("good", "bad")}


@pytest.mark.parametrize("name", MODULES)
def test_every_rule_is_documented(name: str) -> None:
    """A rule is named as its module and says what it wants, why, and shows what fails and what passes."""
    rule = rules()[MODULES.index(name)]
    assert rule.id == name.replace("_", "-")
    title, _, rest = rule.documentation.partition("\n")
    assert title.endswith((".", "(a warning).")), title
    assert "\nFails:" in rest or "\nWarned of:" in rest
    assert "\nPasses:" in rest


def test_every_rule_module_is_listed() -> None:
    """A module with an ID that the list of rules lacks would never run."""
    folder = Path(__file__).parents[3] / "tools" / "rules"
    with_id = {path.stem for path in folder.glob("*.py") if re.search(r"^ID = ", path.read_text(), re.MULTILINE)}
    assert with_id == set(MODULES)


def test_the_fixture_repository_is_clean() -> None:
    """The repository that the cases are laid over has no findings of its own."""
    repository = Repository(FIXTURES / "repository")
    assert [f for file in files(repository, []) for f in check(repository, file)] == []
