"""The benchmarks' generated repository and table; nothing here looks at a clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import corpus, dataset_check
from bench.measure import Measure
from bench.registry import BENCHMARKS, SLOW
from bench.runner_share import Mark, Training, per_step
from bench.table import COLUMNS, Row, render
from tests.platform_copy import tree
from tools.cli import main


def test_generated_repository_validates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even a warning: findings would be measured in place of checks that pass."""
    corpus.write(tmp_path / "five", 5)
    assert main(["validate", "--repo", str(tmp_path / "five")]) == 0
    assert capsys.readouterr().out == "24 files: no findings\n"


def test_generated_experiments_expand_to_overlays_that_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every experiment gets an overlay, and each is the one that its lock gives."""
    repository = tmp_path / "five"
    corpus.write(repository, 5)
    assert main(["expand", "--all", "--repo", str(repository)]) == 0
    assert len(list(repository.glob("overlays/*/*/*/run.yaml"))) == 5
    assert main(["expand", "--check", "--repo", str(repository)]) == 0
    assert "no findings" in capsys.readouterr().out


def test_generated_repository_is_the_same_each_time_and_nothing_in_it_is_constant(tmp_path: Path) -> None:
    """Runs compare with each other, and no cache can answer for a second experiment."""
    for name in ("first", "second"):
        corpus.write(tmp_path / name, 40)
    first = tree(tmp_path / "first")
    assert first == tree(tmp_path / "second")
    experiments = [content for path, content in first.items() if path.startswith("experiments/")]
    assert len(set(experiments)) == 40
    methods = {line for content in experiments for line in content.splitlines() if line.startswith(b"method:")}
    assert methods == {b"method: lora", b"method: qlora", b"method: full"}


def test_each_tenant_has_two_hundred_experiments_and_a_user_id_of_its_own(tmp_path: Path) -> None:
    """A large repository has many tenants, not one that grows."""
    corpus.write(tmp_path / "many", 401)
    experiments = [len(list(folder.iterdir())) for folder in sorted((tmp_path / "many" / "experiments").iterdir())]
    assert experiments == [200, 200, 1]
    uids = {file.read_text().split("\nuid: ")[1] for file in (tmp_path / "many").glob("tenants/*/tenant.yaml")}
    assert len(uids) == 3


def test_generated_dataset_has_no_faults(tmp_path: Path) -> None:
    """What is measured is reading rows, not reporting them."""
    dataset_check.write(tmp_path / "rows.jsonl", 20_000)
    assert (tmp_path / "rows.jsonl").stat().st_size >= 20_000
    assert main(["dataset", "check", str(tmp_path / "rows.jsonl")]) == 0


def test_table_shows_each_item_its_goal_and_ratio() -> None:
    """A line for each row, divided by its items; a goal is met or missed, an alternative is so many times ft."""
    measure = Measure(cpu=2.0, wall=3.0, memory=40.4)
    table = render(
        [
            Row("scale", "ft validate", measure, 1000, "experiment", goal=1.5e-3, remark="fine"),
            Row("scale", "ft expand", measure, 1000, "experiment", goal=2.5e-3),
            Row("instead", "another", Measure(1.0, 1.0, 9.0), 100, "experiment", ours=2e-3),
            Row("instead", "absent", None, remark="not on PATH"),
        ]
    )
    header, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert tuple(header) == COLUMNS
    assert lines == [
        ["scale", "ft validate", "experiment", "2 ms", "3 ms", "40 MiB", "< 1.5 ms MISSED", "-", "fine"],
        ["scale", "ft expand", "experiment", "2 ms", "3 ms", "40 MiB", "< 2.5 ms met", "-", ""],
        ["instead", "another", "experiment", "10 ms", "10 ms", "9 MiB", "-", "5.0", ""],
        ["instead", "absent", "run", "-", "-", "-", "-", "-", "not on PATH"],
    ]


def test_step_time_is_that_of_the_quickest_repetition_and_all_of_the_children() -> None:
    """Disturbed steps are replaced by their undisturbed twins; what the sender uses is never lost."""
    quiet = Training([Mark(10, 5, 11), Mark(12, 5, 14), Mark(16, 6, 19)], 100)
    disturbed = Training([Mark(20, 5, 21), Mark(29, 5, 41), Mark(32, 8, 45)], 120)
    assert per_step([quiet, disturbed], 19) == Measure(cpu=(2 + 3 + 2) / 19, wall=(3 + 4) / 19, memory=120)
    assert quiet.start == Measure(cpu=15, wall=11, memory=100)


def test_quick_leaves_out_only_benchmarks_that_exist() -> None:
    """The list of slow benchmarks names registered ones."""
    assert set(BENCHMARKS) > SLOW
