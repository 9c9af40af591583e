"""A merge request with one experiment in a large repository: the pipeline's job `validate`, the bot's report, its comment's wait."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bench import corpus
from bench.measure import Measure, repeated, run
from bench.options import FT, PROGRAMS, PYTHON, ROOT, Options
from bench.table import Row
from tests.gitlab.bot_server import BotServer

NAME = "merge request"
VALIDATE_GOAL = 3.0
MOST_CALLS = 6
WAIT_GOAL = 2.0  # seconds
_SECRET = "a-secret-of-the-benchmark"
_MEMORY = Path("/dev/shm")
_NEW = "experiments/team-00/exp-new.yaml"
_GIT = ("git", "-c", "user.name=bench", "-c", "user.email=bench@bank.example", "-c", "commit.gpgsign=false")


def rows(options: Options) -> Iterator[Row]:
    """CPU of both, and the report's calls of GitLab's API."""
    size = 100 if options.quick else 2000
    repository = options.work / "repository"
    corpus.write(repository, size)
    run([FT, "expand", "--all", "--repo", repository], cwd=repository)
    yield Row(NAME, f"job validate, 1 experiment of {size:,}", _validate(options, repository), goal=VALIDATE_GOAL)
    (repository / _NEW).unlink()
    shutil.rmtree(repository / ".git")
    yield from _report(options, repository, size)


def _validate(options: Options, repository: Path) -> Measure:
    """The script of the job after `make setup`, in a clone as GitLab's runner makes it."""
    for command in (("init", "--quiet", "-b", "main"), ("add", "--all"), ("commit", "--quiet", "-m", "The platform")):
        run([*_GIT, *command], cwd=repository)
    _write_new(repository)
    base = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    for command in (("add", "--all"), ("commit", "--quiet", "-m", "An experiment")):
        run([*_GIT, *command], cwd=repository)
    environment = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": base.strip(), "PYTHONPATH": str(ROOT)}
    job: list[str | Path] = [PYTHON, "-m", "ci.check", "--reports", options.work / "reports"]
    return repeated(options.repeats, lambda: run(job, cwd=repository, environment=environment))


def _report(options: Options, repository: Path, size: int) -> Iterator[Row]:
    """`ft bot report` against the tests' GitLab: the bot's first of all, which copies the repository, then another one's."""
    with _gitlab(repository, options.work / "gitlab") as (ask, settings):
        config = _config(options.work, settings)

        def report(number: int) -> Measure:
            ask("forget")
            return run([FT, "bot", "report", "--config", config, "--merge-request", str(number)], cwd=options.work)

        first = report(1)
        yield Row(NAME, f"ft bot report, with a copy of {size:,}", first, remark=_calls(ask("calls")))
        new = report(2)
        yield Row(NAME, f"ft bot report, new, {size:,}", new, remark=_calls(ask("calls")))
        again = repeated(options.repeats, lambda: report(2))
        yield Row(NAME, f"ft bot report, again, {size:,}", again, remark=_calls(ask("calls")))
        yield _wait(options, ask, config, size)


def _wait(options: Options, ask: Any, config: Path, size: int) -> Row:
    """From a webhook to the comment, with the bot as a service that has nothing else to do."""
    memory = _MEMORY if _MEMORY.is_dir() else None  # as base/bot/deployment.yaml has it
    server = BotServer(config, options.work / "serve.log", memory).start()
    try:
        ask(f"hook {server.url}/webhook {_SECRET}")
        ask("open exp-warm")
        waits = [ask(f"open exp-wait-{number}") for number in range(5 if options.quick else 20)]
    finally:
        server.terminate()
    median, worst = statistics.median(waits), max(waits)
    met = "met" if worst <= WAIT_GOAL else "MISSED"
    remark = f"median; worst of {len(waits)}: {worst:.1f} s; goal {WAIT_GOAL:.0f} s {met}"
    return Row(NAME, f"webhook to comment, {size:,}", Measure(0, median, 0), unit="comment", remark=remark)


def _calls(count: int) -> str:
    return f"{count} API calls (< {MOST_CALLS + 1} {'met' if count <= MOST_CALLS else 'MISSED'})"


def _write_new(repository: Path) -> None:
    text = (repository / "experiments/team-00/exp-00000.yaml").read_text(encoding="utf-8")
    new = text.replace("exp-00000", "exp-new").replace("assistant-00000", "assistant-new")
    (repository / _NEW).write_text(new, encoding="utf-8")


@contextmanager
def _gitlab(repository: Path, folder: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The tests' GitLab in a process of its own, which answers a line of JSON to each line."""
    program = [str(PYTHON), str(PROGRAMS / "gitlab.py"), str(repository), str(folder)]
    child = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdin is not None
    assert child.stdout is not None
    stdin: IO[str] = child.stdin
    stdout: IO[str] = child.stdout

    def ask(word: str) -> Any:
        stdin.write(f"{word}\n")
        stdin.flush()
        return json.loads(stdout.readline())

    try:
        yield ask, json.loads(stdout.readline())
    finally:
        stdin.close()
        child.wait()
        stdout.close()


def _config(work: Path, settings: dict[str, Any]) -> Path:
    token, secret = work / "token", work / "secret"
    token.write_text(settings["token"], encoding="utf-8")
    secret.write_text(_SECRET, encoding="utf-8")
    content = {
        "version": 1,
        "url": "https://bot.example",
        "work": str(work / "bot"),
        "environments": ["dev", "prod"],
        "gitlab": {
            "url": settings["url"],
            "project": settings["project"],
            "token_file": str(token),
            "webhook_secret_file": str(secret),
        },
        "signing": {"email": "ft-bot@bank.example", "key": "0" * 40, "gnupghome": str(work / "gnupg")},
    }
    file = work / "bot.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file
