"""Files that want to harm whoever reads them, each through `ft validate` in a process of its own.

A process is killed after a time that no honest check needs, and its peak memory is measured.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest

from tests.unit.rules.expectations import FIXTURES

MOST_BYTES = 200 * 1024 * 1024
SECONDS = 30
# Leaves what the kernel counted for this process. Not ru_maxrss: that begins with the peak of the process that forked it.
COMMAND = """\
import sys
from pathlib import Path
from tools.cli import main
code = main(sys.argv[2:])
Path(sys.argv[1]).write_text(Path("/proc/self/status").read_text())
sys.exit(code)
"""


@dataclass(frozen=True)
class Outcome:
    """What `ft validate` said about a file, and what it took."""

    exit_code: int
    findings: list[dict[str, Any]]
    errors: str
    peak_bytes: int

    @property
    def places(self) -> list[tuple[int, int, str]]:
        """Line, column and rule of each finding."""
        return [(found["line"], found["column"], found["rule"]) for found in self.findings]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The experiments of team-a in a copy of the fixture repository."""
    root = tmp_path / "repository"
    shutil.copytree(FIXTURES / "repository", root)
    return root / "experiments" / "team-a"


def validate(path: Path, tmp_path: Path) -> Outcome:
    """Run `ft validate` on one file."""
    out, errors, counted = tmp_path / "out.json", tmp_path / "errors.txt", tmp_path / "status"
    options = ["validate", "--repo", str(tmp_path / "repository"), "--format", "json", str(path)]
    command = [sys.executable, "-c", COMMAND, str(counted), *options]
    with out.open("wb") as stdout, errors.open("wb") as stderr:
        done = subprocess.run(command, stdout=stdout, stderr=stderr, timeout=SECONDS, check=False)
    peak = next(line for line in counted.read_text().splitlines() if line.startswith("VmHWM:"))
    findings = json.loads(out.read_text(encoding="utf-8") or "[]")
    return Outcome(done.returncode, findings, errors.read_text(), int(peak.split()[1]) * 1024)


def words() -> Iterator[str]:
    """Texts of three letters, all different."""
    return ("".join(letters) for letters in product(ascii_lowercase, repeat=3))


@pytest.mark.parametrize("case", sorted((FIXTURES / "hostile").glob("*.yaml")), ids=lambda case: case.stem)
def test_hostile_file_is_refused_at_its_place(case: Path, folder: Path, tmp_path: Path) -> None:
    """Each file is refused with a finding at the place of the fault, cheaply and without a traceback."""
    shutil.copy(case, folder / case.name)
    outcome = validate(folder / case.name, tmp_path)
    expected = [tuple(place) for place in _expected(case)]
    assert outcome.places == expected, outcome.findings
    assert (outcome.exit_code, outcome.errors) == (1, "")
    assert outcome.peak_bytes < MOST_BYTES


def _expected(case: Path) -> list[tuple[int, int, str]]:
    if case.stem == "empty":
        return [(1, 1, "format")]
    readable = case.read_bytes().decode("utf-8", "replace")
    copy = [line for line in readable.splitlines() if line.startswith("# expect")]
    assert copy, case
    line, column, rule = copy[0].removeprefix("# expect: ").replace(":", " ").split()
    return [(int(line), int(column), rule)]


@pytest.mark.parametrize("size", [64 * 1024 + 1, 100 * 1024 * 1024])
def test_large_file_is_refused_unread(size: int, folder: Path, tmp_path: Path) -> None:
    """A file over the limit is refused by its size, whatever is in it."""
    path = folder / "large.yaml"
    with path.open("wb") as stream:
        for _ in range(size // 65536):
            stream.write(b"# comment\n" * 6553 + b"######")
        stream.write(b"#" * (size % 65536))
    outcome = validate(path, tmp_path)
    assert outcome.places == [(1, 1, "file-size")]
    assert outcome.peak_bytes < MOST_BYTES


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "/dev/zero", "/does/not/exist", "../../../outside.yaml", "exp-001.yaml"]
)
def test_symbolic_link_is_refused(target: str, folder: Path, tmp_path: Path) -> None:
    """A link is never followed, wherever it leads: out of the repository, to a device, or to a neighbour."""
    (tmp_path / "outside.yaml").write_text("version: 1\n")
    (folder / "link.yaml").symlink_to(target)
    outcome = validate(folder / "link.yaml", tmp_path)
    assert outcome.places == [(1, 1, "file-kind")]
    assert "passwd" not in json.dumps(outcome.findings)


def test_linked_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    """Files below a linked folder are refused, by path and when everything is checked."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "run.yaml").write_text("version: 1\n")
    (folder.parent / "team-c").symlink_to(outside)
    assert validate(folder.parent / "team-c" / "run.yaml", tmp_path).places == [(1, 1, "file-kind")]
    outcome = validate(folder.parent, tmp_path)
    assert [(found["file"], found["rule"]) for found in outcome.findings] == [("experiments/team-c", "file-kind")]


def test_named_pipe_is_refused(folder: Path, tmp_path: Path) -> None:
    """A pipe that nobody writes to does not hang the check."""
    os.mkfifo(folder / "pipe.yaml")
    assert validate(folder / "pipe.yaml", tmp_path).places == [(1, 1, "file-kind")]


def test_wrong_keys_deep_in_a_file_are_all_named(folder: Path, tmp_path: Path) -> None:
    """Keys that no format has, three mappings deep and unprintable, beside another fault: findings at their places."""
    file = folder.parents[1] / "tenants" / "team-a" / "behaviours" / "polite.yaml"
    text = file.read_text().replace("matches:", "match\U00018d09s:").replace("{refuses: true}", "{refuse: true}")
    file.write_text(text.replace("version: 1", "version: 2"))
    outcome = validate(file, tmp_path)
    assert [rule for _, _, rule in outcome.places] == ["value", "unknown-key", "unknown-key"]
    assert [(line, column) for line, column, _ in outcome.places] == [(3, 10), (9, 7), (14, 14)]
    assert all(found["message"].isprintable() for found in outcome.findings)
    assert (outcome.exit_code, outcome.errors) == (1, "")


BY_THE_THOUSAND = {
    "unknown keys": lambda: "".join(f"{word}:\n" for word in islice(words(), 12000)),
    "unknown train keys": lambda: "train:\n" + "".join(f" l{word}: 1\n" for word in islice(words(), 7000)),
    "unknown datasets": lambda: "datasets:\n" + "".join(f"- {word}\n" for word in islice(words(), 10000)),
    "unknown layers": lambda: (
        f"model: smollm2-135m-instruct\nmethod: lora\ntrain: {{lora_target: [{','.join(islice(words(), 12000))}]}}"
    ),
    "interpolations": lambda: "train:\n" + "".join(f" {word}: ${{y}}\n" for word in islice(words(), 5500)),
    "digits": lambda: f"train:\n  seed: {'9' * 60000}\n",
    "one long key": lambda: f"train:\n  ? learning_rate{'x' * 60000}\n  : 1\n",
    "duplicates": lambda: "method: lora\n" * 5000,
    "empty lists": lambda: f"datasets: [{'[],' * 20000}]",
}


@pytest.mark.parametrize("name", BY_THE_THOUSAND)
def test_thousands_of_faults_stay_cheap(name: str, folder: Path, tmp_path: Path) -> None:
    """Each fault costs little, however many there are in one file."""
    path = folder / "many.yaml"
    path.write_text(BY_THE_THOUSAND[name]())
    assert path.stat().st_size <= 64 * 1024
    outcome = validate(path, tmp_path)
    assert (outcome.exit_code, outcome.errors) == (1, "")
    assert outcome.peak_bytes < MOST_BYTES


def test_environment_is_not_read(folder: Path, tmp_path: Path) -> None:
    """The value of a variable that a file names appears nowhere in the report."""
    shutil.copy(FIXTURES / "hostile" / "environment-variable.yaml", folder / "leak.yaml")
    os.environ["FT_TEST_SECRET"] = "hunter2-value"
    try:
        text = (folder / "leak.yaml").read_text().replace("oc.env:HOME", "oc.env:FT_TEST_SECRET")
        (folder / "leak.yaml").write_text(text)
        outcome = validate(folder / "leak.yaml", tmp_path)
    finally:
        del os.environ["FT_TEST_SECRET"]
    assert [place[2] for place in outcome.places] == ["interpolation"]
    assert "hunter2" not in json.dumps(outcome.findings)
