"""Causes of failures: one documented code each, told by the exception, in failure.json and in the termination message."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner import divergence, exits, failures
from runner.exits import Diverged, Retry, RunnerError
from tests.runs import make_paths, write_lock
from tools.causes import BY_EXIT_CODE, CAUSES
from tools.generate import failures_page

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "PRZEWODNIK-UZYCIA.md").read_text(encoding="utf-8")
CLASSES = [RunnerError, *RunnerError.__subclasses__(), *Retry.__subclasses__()]


def test_the_page_of_causes_is_that_of_the_code() -> None:
    """docs/failures.md is generated, and the guide has every code."""
    assert failures_page.main(["--check"]) == 0
    assert {code for code in CAUSES if f"| `{code}` |" not in GUIDE} == set()


def test_every_code_in_the_sources_is_a_documented_one() -> None:
    """Neither the runner nor a class of its errors names a cause that the page lacks."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "runner").rglob("*.py"))
    named = set(re.findall(r'\bcode="([a-z-]+)"', sources)) | {each.usual_code for each in CLASSES}
    assert named <= set(CAUSES)
    assert set(BY_EXIT_CODE.values()) <= set(CAUSES)


@pytest.mark.parametrize("error", [each for each in CLASSES if each.__module__ == exits.__name__])
def test_exit_codes_of_causes_are_those_of_the_errors(error: type[RunnerError]) -> None:
    """A class's own cause has the class's exit code."""
    assert CAUSES[error.usual_code].exit_code == error.exit_code


@pytest.mark.parametrize("file", ["job", "publish"])
def test_what_would_come_again_fails_the_job_at_once(file: str) -> None:
    """The policy's codes are those of the errors between a bad spec and 75."""
    policy = yaml.safe_load((ROOT / f"base/training/v1/{file}.yaml").read_text())["spec"]["podFailurePolicy"]
    codes = {rule["action"]: rule["onExitCodes"]["values"] for rule in policy["rules"] if "onExitCodes" in rule}
    fatal = sorted({each.exit_code for each in CLASSES} - {RunnerError.exit_code, Retry.exit_code})
    assert codes["FailJob"] == fatal
    assert codes["Count"] == [0, *fatal]


@pytest.mark.parametrize(
    ("error", "code", "cause"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), 4, "out-of-gpu-memory"),
        (MemoryError(), 4, "out-of-memory"),
        (OSError(errno.ENOSPC, "No space left on device"), 75, "disk-full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 75, "disk-full"),
        (OSError(errno.EROFS, "Read-only file system"), 75, "storage-failed"),
        (PermissionError(errno.EACCES, "Permission denied", "/storage/output"), 1, "permission-denied"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), 75, "no-gpu"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), 1, "unexpected"),
        (Diverged("a", "b", code="exploding-loss"), 6, "exploding-loss"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_exception_has_its_cause(tmp_path: Path, error: Exception, code: int, cause: str) -> None:
    """Told by its class, its number or its words; each with a remedy."""
    failure = failures.explain(error, make_paths(tmp_path))
    assert (failure.exit_code, failure.code) == (code, cause)
    assert failure.remedy


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    """A real refusal of the system: cause, path and remedy are in failure.json's fields."""
    code = (
        "import sys; from pathlib import Path; from runner import failures, locks; from runner.storage import Paths\n"
        "paths = Paths(Path(sys.argv[2]), locks.read(Path(sys.argv[1])))\n"
        "try:\n    (paths.storage / 'closed' / 'file').write_text('x')\n"
        "except OSError as error:\n    failure = failures.explain(error, paths)\n"
        "    failures.report(failure, error, None); sys.exit(failure.exit_code)"
    )
    paths = make_paths(tmp_path)
    closed = paths.storage / "closed"
    closed.mkdir(mode=0o000)
    lock = write_lock(paths.lock, tmp_path / "run.yaml")
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []  # modes bind root
    command = [*bound, sys.executable, "-c", code, lock, paths.storage]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    (event,) = [json.loads(line) for line in ended.stdout.splitlines()]
    assert event["code"] == "permission-denied"
    assert str(closed) in event["cause"]


def loading(file: Path) -> Exception:
    """The exception of a JSON reader, out of a module where LLaMA Factory's loader is."""
    module = file.parent / "llamafactory" / "data"
    module.mkdir(parents=True)
    (module / "loader.py").write_text("import json\ndef load(text):\n    return json.loads(text)\n", encoding="utf-8")
    space: dict[str, Any] = {}
    source = module / "loader.py"
    exec(compile(source.read_text(encoding="utf-8"), str(source), "exec"), space)
    try:
        space["load"](file.read_text(encoding="utf-8"))
    except ValueError as error:
        return error
    raise AssertionError(file)


def test_a_bad_row_is_named_with_file_and_line(tmp_path: Path) -> None:
    """The reader says neither; the file is looked through again."""
    paths = make_paths(tmp_path)
    file = paths.dataset(paths.lock.run.datasets[0])
    rows = json.loads(file.read_text(encoding="utf-8"))
    lines = [json.dumps(row) for row in rows[:5]]
    lines[3] = '{"instruction": 7, "output": '
    file.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    failure = failures.explain(loading(file), paths)
    assert (failure.exit_code, failure.code) == (3, "bad-row")
    assert f"{file}:5: row 4:" in failure.cause
    assert "ft dataset check" in failure.remedy


def test_the_last_words_are_those_of_failure_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code, cause and remedy reach the file that Kubernetes keeps, cut to what it keeps."""
    words = tmp_path / "termination-log"
    monkeypatch.setenv(failures.TERMINATION_LOG, str(words))
    failure = Diverged("x" * 9000, "y", code="nan-loss", step=4, loss=float("nan"))
    failures.report(failure, failure, tmp_path)
    told, kept = json.loads(words.read_text()), json.loads((tmp_path / "failure.json").read_text())
    assert words.stat().st_size < 4096
    assert (told["code"], told["remedy"]) == (kept["code"], kept["remedy"]) == ("nan-loss", "y")
    assert kept["details"] == {"step": 4, "loss": None}
    assert kept["cause"].startswith(told["cause"])


def history(*losses: float) -> list[dict[str, Any]]:
    """A trainer's log."""
    return [entry for step, loss in enumerate(losses) for entry in ({"step": step, "loss": loss}, {"eval_loss": 99.0})]


@pytest.mark.parametrize(
    ("stage", "first", "limit"),
    [
        ("sft", (1.4, 1.5, 1.1, 1.3, 1.2), 4.5),  # three times the largest of the first five
        ("sft", (5.0, 4.0, 4.0, 4.0, 4.0), 1.25 * math.log(259)),  # guessing costs less than three times that
        ("sft", (9.0, 8.0, 7.0, 6.0, 5.0), 1.25 * 9.0),  # a model that begins worse than guessing
        ("sft", (0.02, 0.01, 0.03, 0.02, 0.01), 2.0),  # noise around nothing
        ("dpo", (0.69, 0.7, 0.6, 0.8, 0.7), 2.4),
    ],
)
def test_the_limit_of_a_loss_follows_from_the_first_five(stage: str, first: tuple[float, ...], limit: float) -> None:
    """The policy of ADR 038 in numbers; evaluations do not count."""
    assert divergence.limit(history(*first), stage, 259) == pytest.approx(limit)
    assert divergence.limit(history(*first[:4]), stage, 259) is None


def test_only_five_in_a_row_are_an_explosion() -> None:
    """A single bad batch is none."""
    assert divergence.above(history(1, 9, 9, 9, 9), 7.2) == 4
    assert divergence.above(history(1, 9, 9, 9, 9, 9, 9), 7.2) == 5
    assert divergence.above(history(9, 9, 9, 9, 1), 7.2) == 0
    assert divergence.above(history(9, 9, 9, 9, 1, float("inf")), 7.2) == 1
