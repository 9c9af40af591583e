"""The generated JSON Schemas and the rules page: as committed, and agreeing with the formats on the fixtures."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest

from tests.unit.rules.expectations import FIXTURES
from tools.generate import rules_page, schemas
from tools.repository import Repository
from tools.rules import rules
from tools.rules.kinds import FORMATS, place_of
from tools.validate import files

REPOSITORY = Repository(FIXTURES / "repository")
SCHEMAS = {kind: json.loads(text) for kind, text in zip(FORMATS, schemas.build().values(), strict=True)}


def test_the_committed_schemas_are_those_of_the_formats() -> None:
    """A changed format or argument table must come with its schemas."""
    assert schemas.main(["--check"]) == 0


def test_the_committed_rules_page_is_that_of_the_rules() -> None:
    """A changed rule must come with its documentation."""
    assert rules_page.main(["--check"]) == 0
    assert all(f"### {rule.id}\n" in rules_page.PAGE.read_text(encoding="utf-8") for rule in rules())


@pytest.mark.parametrize("kind", FORMATS)
def test_a_schema_is_valid_json_schema(kind: str) -> None:
    """Each schema is valid in the dialect that it names, and says what it is."""
    schema = SCHEMAS[kind]
    jsonschema_rs.Draft202012Validator(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["$id"] == f"{kind}.schema.json"
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize("file", files(REPOSITORY, []))
def test_a_good_file_fits_its_schema(file: str) -> None:
    """What `ft validate` accepts an editor does not mark."""
    place = place_of(file)
    assert place is not None
    validator = jsonschema_rs.Draft202012Validator(SCHEMAS[place.kind])
    assert [error.message for error in validator.iter_errors(REPOSITORY.document(file).data)] == []


@pytest.mark.parametrize(
    "case", sorted((FIXTURES / "rules").glob("train-*/*.yaml")), ids=lambda case: f"{case.parent.name}/{case.stem}"
)
def test_an_editor_judges_train_keys_as_the_rules_do(case: Path) -> None:
    """Unknown and platform-owned keys, types and ranges are in the schema; paths and packages are the rules' alone."""
    repository = Repository(case.parent)
    validator = jsonschema_rs.Draft202012Validator(SCHEMAS["experiment"])
    valid = validator.is_valid(repository.document(case.name).data)
    only_rules = case.parent.name in ("train-path", "train-package")
    assert valid == (case.name.startswith("good-") or only_rules)
