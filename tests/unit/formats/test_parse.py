"""Faults of format become findings at their place, and do not hide other faults."""

from __future__ import annotations

import pytest

from tools.formats.experiment import Experiment
from tools.formats.parse import Parsed, parse
from tools.formats.people import Person
from tools.formats.tenant import Tenant
from tools.yamlsource import parse as read

GOOD = """\
version: 1
description: Sorts messages
owner: anna.nowak
model: smollm2-135m-instruct
datasets: [customer-topics]
method: lora
"""


def experiment(text: str) -> Parsed[Experiment]:
    """The text read as an experiment of team-a."""
    return parse(Experiment, read(text, "experiments/team-a/x.yaml"))


def test_a_good_file_has_no_finding_and_is_wholly_usable() -> None:
    """The smallest complete experiment is taken as it is."""
    parsed = experiment(GOOD)
    assert parsed.findings == []
    assert parsed.usable(*Experiment.model_fields)


@pytest.mark.parametrize(
    ("line", "place", "rule", "words"),
    [
        ("atempt: 2", (7, 1), "unknown-key", 'did you mean "attempt"?'),
        ("attempt: 0", (7, 10), "value", "greater than or equal to 1"),
        ("attempt: '2'", (7, 10), "value", "a whole number"),
        ("attempt: true", (7, 10), "value", "a whole number"),
        ("publish: {merge: true}", (7, 10), "required-key", "publish.model_name is missing"),
        ("publish: {model_name: Big_Name}", (7, 23), "value", "DNS label"),
        ("publish: {model_name: a, merge: yes}", (7, 33), "value", "true or false"),
        ("resources: {gpus: 17}", (7, 19), "value", "less than or equal to 16"),
        ("resources: {time_limit: 8 hours}", (7, 25), "value", "30m, 8h or 2d"),
        ("resources: 3", (7, 12), "value", "mapping"),
        ("state: paused", (7, 8), "value", "'active' or 'cancelled'"),
        ("train: [1]", (7, 8), "value", "a mapping"),
    ],
)
def test_a_fault_is_one_finding_at_its_place(line: str, place: tuple[int, int], rule: str, words: str) -> None:
    """Each fault names its place, what was found and what is allowed."""
    (finding,) = experiment(GOOD + line).findings
    assert (finding.line, finding.column, finding.rule) == (*place, rule)
    assert words in finding.message


def test_a_missing_field_and_a_faulty_field_are_both_found() -> None:
    """One fault does not hide another."""
    parsed = experiment(GOOD.replace("method: lora\n", "").replace("[customer-topics]", "[]"))
    assert {finding.rule for finding in parsed.findings} == {"required-key", "value"}
    assert not parsed.usable("method")
    assert not parsed.usable("datasets")
    assert parsed.usable("model", "owner")


def test_a_faulty_part_of_a_mapping_leaves_its_other_parts_usable() -> None:
    """A wrong number of GPUs does not hide what is wrong with the time limit."""
    parsed = experiment(GOOD + "resources: {gpus: many, time_limit: 90d}")
    assert parsed.value is not None
    assert parsed.value.resources.time_limit == "90d"
    assert parsed.usable("resources.time_limit")
    assert not parsed.usable("resources.gpus")
    assert not parsed.usable("resources")


@pytest.mark.parametrize("text", ["", "- 1", "words", "3", "null"])
def test_a_file_that_is_no_mapping_says_so(text: str) -> None:
    """A list, a word or nothing at all is one finding."""
    parsed = experiment(text)
    assert [finding.rule for finding in parsed.findings] == ["format"]
    assert parsed.value is None


@pytest.mark.parametrize(
    ("members", "place", "rule", "words"),
    [
        ("[{username: a, id: 1}, {username: b}]", (2, 33), "required-key", "add id:"),
        ("[{username: a, id: 1}, {id: 2}]", (2, 33), "required-key", "add username:"),
        ("[{username: a, id: '1'}]", (2, 29), "value", "a whole number"),
        ("[{username: a, id: 0}]", (2, 29), "value", "greater than or equal to 1"),
        ("[{username: a b, id: 1}]", (2, 22), "value", "a GitLab user name"),
        ("[{username: a, id: 1, role: owner}]", (2, 32), "unknown-key", "username, id"),
        ("[a]", (2, 11), "value", "a mapping with the keys username, id"),
    ],
)
def test_a_person_without_a_number_is_refused(members: str, place: tuple[int, int], rule: str, words: str) -> None:
    """The finding stands at the person, and says what belongs there."""
    findings = parse(Tenant, read(f"version: 1\nmembers: {members}\n", "t")).findings
    [finding] = [finding for finding in findings if "members" in finding.message or finding.line == 2]
    assert (finding.line, finding.column, finding.rule) == (*place, rule)
    assert words in finding.message


def test_people_are_read_beside_a_faulty_field() -> None:
    """Another field's fault, and a key too many, leave the people usable."""
    text = "version: 2\nmembers: [{username: a, id: 1, role: owner}]\n"
    value = parse(Tenant, read(text, "t")).value
    assert value is not None
    assert value.members == [Person(username="a", id=1)]


def test_positions_reach_into_lists() -> None:
    """The third member is where the finding points."""
    text = "version: 1\nmodels:\n  - a\n  - b\n  - c d\n"
    places = {(f.line, f.column) for f in parse(Tenant, read(text, "t")).findings if f.rule == "value"}
    assert places == {(5, 5)}
