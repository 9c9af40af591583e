"""The admission rules as files: what holds of every one of them. What they refuse is tested on a real API server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(file for file in (ROOT / "base" / "admission").glob("*.yaml") if file.stem != "kustomization")
SAMPLES = ROOT / "tests" / "fixtures" / "admission"
# It has to see the update that takes a namespace's label away, so its binding cannot select by that label.
_EVERYWHERE = {"tenant-namespace"}


def read(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Policy and binding of one rule."""
    policy, binding = yaml.safe_load_all(file.read_text())
    return policy, binding


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_rule_is_closed_and_bound(file: Path) -> None:
    """A rule that fails refuses; it is bound to tenants' namespaces, and a missing limit refuses too."""
    policy, binding = read(file)
    name = f"finetuning-{file.stem}"
    assert (policy["metadata"]["name"], binding["metadata"]["name"]) == (name, name)
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"]["policyName"] == name
    assert binding["spec"]["validationActions"] == ["Deny", "Audit"]
    selector = binding["spec"].get("matchResources", {}).get("namespaceSelector")
    tenants = {"matchExpressions": [{"key": "finetuning/tenant", "operator": "Exists"}]}
    assert selector == (None if file.stem in _EVERYWHERE else tenants)
    limits = {"name": "tenant-limits", "parameterNotFoundAction": "Deny"}
    assert binding["spec"].get("paramRef") == (limits if "paramKind" in policy["spec"] else None)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_message_has_its_parts(file: Path) -> None:
    """What was found, what is allowed, what to do next: `...; allowed: ...; ...`."""
    for validation in read(file)[0]["spec"]["validations"]:
        message = re.sub(r"'\s*\+\s*'", "", validation.get("messageExpression") or validation["message"])
        assert re.fullmatch(r".+; allowed: .+; .+", message)


def test_rules_samples_and_kustomization_agree() -> None:
    """No rule that is never applied, none without samples of both kinds, no samples of a rule that is gone."""
    rules = {file.stem for file in FILES}
    kustomization = yaml.safe_load((ROOT / "base/admission/kustomization.yaml").read_text())
    assert {Path(name).stem for name in kustomization["resources"]} == rules
    folders = {folder.name for folder in SAMPLES.iterdir() if folder.is_dir()}
    assert folders == rules | {"elsewhere"}
    for rule in rules:
        assert {file.name.partition("-")[0] for file in (SAMPLES / rule).iterdir()} == {"allowed", "denied"}
