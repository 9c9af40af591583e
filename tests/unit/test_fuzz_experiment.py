"""Mutated experiment files, thousands a run: `ft validate` always answers with findings, never with a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.rules.expectations import FIXTURES
from tools.cli import main
from tools.llamafactory.table import arguments
from tools.repository import Repository
from tools.validate import files

EXAMPLES = 2000
BASES = [
    path.read_text(encoding="utf-8")
    for path in sorted(
        [
            *(FIXTURES / "repository" / "experiments").rglob("*.yaml"),
            *(FIXTURES / "mixed").glob("*.yaml"),
            *(FIXTURES / "rules").glob("*/good-*.yaml"),
        ]
    )
]
# What libyaml takes for the end of a line.
LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
VALUES = [
    "", "null", "~", "true", "yes", "0", "-1", "1e-4", "1e999", ".nan", "-.inf", "9" * 200, "0x1F", "0o17", "1_000", "017",
    "2026-11-23", "2026-11-23T10:00:00Z", "12:30:45", "'1'", '"\\ud800"', '"\\0"', '"a\\nb"', "${oc.env:HOME}", "{}", "[]",
    "[[[[]]]]", "{a: {b: [c]}}", "[1, two, null]", "{1: 2}", "? x", "- - -", "&a b", "*a", "!!python/none", "!x y", "<<", "|",
    ">-", "%", "@", "`", "#", "a: b: c", "[a", "{a", '"a', "żółć", "\u202e", "\U0001f600", "x" * 300, "/etc/passwd", "..", "all",
]  # fmt: skip
KEYS = [
    "version",
    "train",
    "resources",
    "gpus",
    "time_limit",
    "<<",
    "null",
    "true",
    "1",
    '""',
    "? [a]",
    "ż",
    *arguments(),
]

Mutation = Callable[[str, int], str]


def _at_line(change: Callable[[str], str]) -> Mutation:
    def mutate(text: str, place: int) -> str:
        lines = text.split("\n")
        index = place % len(lines)
        lines[index] = change(lines[index])
        return "\n".join(lines)

    return mutate


def _at_character(change: Callable[[str, int], str]) -> Mutation:
    return lambda text, place: change(text, place % (len(text) + 1))


def _with_value(value: str) -> Mutation:
    return _at_line(lambda line: f"{line.partition(':')[0]}: {value}")


def _with_entry(entry: tuple[str, str, int]) -> Mutation:
    key, value, indent = entry
    return _at_line(lambda line: f"{line}\n{' ' * indent}{key}: {value}")


MUTATIONS: st.SearchStrategy[Mutation] = st.one_of(
    st.sampled_from(VALUES).map(_with_value),
    st.text(max_size=20).map(_with_value),
    st.one_of(st.floats(), st.integers()).map(lambda number: _with_value(str(number))),
    st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES), st.sampled_from([0, 2, 2, 2, 3, 4])).map(_with_entry),
    st.just(_at_line(lambda _line: "")),
    st.just(_at_line(lambda line: f"{line}\n{line}")),
    st.just(_at_line(lambda line: f"  {line}")),
    st.just(_at_line(lambda line: f"\t{line}")),
    st.just(_at_line(lambda line: line.replace("e", "", 1))),
    st.just(_at_line(lambda line: line + "\r")),
    st.just(_at_character(lambda text, index: text[:index])),
    st.just(_at_character(lambda text, index: text[:index] + text[index + 1 :])),
    st.text(max_size=5).map(lambda more: _at_character(lambda text, index: text[:index] + more + text[index:])),
    st.integers(1, 60).map(lambda depth: _at_character(lambda text, index: text[:index] + "[" * depth + text[index:])),
    st.just(lambda text, _place: f"---\n{text}\n---\n{text}"),
)


def fuzz(root: Path, bases: list[tuple[str, str]], examples: int) -> int:
    """Validate `examples` mutations of files (path relative to the root, text); how many there were."""
    ran = 0

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        base=st.sampled_from(bases),
        mutations=st.lists(st.tuples(MUTATIONS, st.integers(0, 10_000)), min_size=1, max_size=5),
        raw=st.one_of(st.just(None), st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=4))),
    )
    def one(base: tuple[str, str], mutations: list[tuple[Mutation, int]], raw: tuple[int, bytes] | None) -> None:
        nonlocal ran
        ran += 1
        file, text = base
        for mutate, place in mutations:
            text = mutate(text, place)
        content = text.encode("utf-8", "surrogatepass")
        if raw is not None:
            content = content[: raw[0]] + raw[1] + content[raw[0] :]
        before = (root / file).read_bytes()
        (root / file).write_bytes(content)
        try:
            check(root, file, content)
        finally:
            (root / file).write_bytes(before)

    one()
    return ran


def test_a_mutated_experiment_never_gives_a_traceback(tmp_path: Path) -> None:
    """Whatever a file holds: exit code 0 or 1, valid JSON, nothing on stderr, and each finding inside the file."""
    root = Path(shutil.copytree(FIXTURES / "repository", tmp_path / "repository"))
    bases = [("experiments/team-a/exp-001.yaml", text) for text in BASES]
    assert fuzz(root, bases, EXAMPLES) >= EXAMPLES


def test_a_mutated_catalogue_never_gives_a_traceback(tmp_path: Path) -> None:
    """The same for what platform admins and `ft dataset add` write."""
    root = Path(shutil.copytree(FIXTURES / "repository", tmp_path / "repository"))
    others = [file for file in files(Repository(root), []) if not file.startswith("experiments/")]
    bases = [(file, (root / file).read_text(encoding="utf-8")) for file in others]
    assert fuzz(root, bases, EXAMPLES // 4) >= EXAMPLES // 4


def check(root: Path, file: str, content: bytes) -> None:
    """Validate the file and judge the answer."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main(["validate", "--repo", str(root), "--format", "json", str(root / file)])
    findings = json.loads(out.getvalue())
    assert errors.getvalue() == ""
    assert code == int(any(finding["severity"] == "error" for finding in findings))
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    ways = (LINE_END.split(text), text.split("\n"))
    for finding in findings:
        line, column = finding["line"], finding["column"]
        assert any(0 < line <= len(lines) and 0 < column <= len(lines[line - 1]) + 1 for lines in ways), finding
        assert finding["file"] == file
        assert finding["message"].isprintable()
    places = [tuple(finding.values()) for finding in findings]
    assert len(set(places)) == len(places)
