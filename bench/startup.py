"""Start-up: what a person waits for at the prompt, and a pre-commit hook at each commit."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import Measure, repeated, run
from bench.options import FT, PYTHON, ROOT, Options
from bench.table import Row

NAME = "start-up"
HELP_GOAL = 0.3
VALIDATE_GOAL = 0.7
EXPERIMENT = "experiments/team-a/exp-001.yaml"


def rows(options: Options) -> Iterator[Row]:
    """`ft --help` and `ft validate FILE`, and beside them what other Python tools start with."""
    times = options.repeats * 2 - 1

    def of(*command: object) -> Row:
        measured = repeated(times, lambda: run([str(part) for part in command], cwd=ROOT))
        return Row(NAME, "", measured)

    usage, one_file = of(FT, "--help"), of(FT, "validate", EXPERIMENT)
    yield _row("ft --help", usage, HELP_GOAL)
    yield _row("ft validate of one file", one_file, VALIDATE_GOAL)
    yield Row(
        NAME,
        "ft validate of one file, nothing compiled",
        _uncompiled(options),
        remark="first start after an installation",
    )
    yield _beside('python -c "import yaml, pydantic"', of(PYTHON, "-c", "import yaml, pydantic"), one_file)
    models = "import yaml; from pydantic import BaseModel"
    yield _beside(f'python -c "{models}"', of(PYTHON, "-c", models), one_file)
    yield _beside("kubernetes-validate --help", of(PYTHON.parent / "kubernetes-validate", "--help"), usage)


def _uncompiled(options: Options) -> Measure:
    environment = {"PYTHONPYCACHEPREFIX": str(options.work / "bytecode"), "PYTHONDONTWRITEBYTECODE": "1"}
    return repeated(options.repeats, lambda: run([FT, "validate", EXPERIMENT], cwd=ROOT, environment=environment))


def _row(what: str, row: Row, goal: float) -> Row:
    return Row(NAME, what, row.measure, goal=goal)


def _beside(what: str, row: Row, ours: Row) -> Row:
    return Row(NAME, what, row.measure, ours=ours.cpu)
