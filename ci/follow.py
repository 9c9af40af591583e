"""The job `train`: waits for the bot's verdict on the merged commit, then follows its runs until they are registered.

It starts nothing and stops nothing: Argo CD starts training, and a job that is cancelled or retried only stops or starts
watching. Prints a line whenever something changed, and leaves reports/runs.json for the job `register`. Exit code 0: every run
is registered (or was cancelled on purpose, or has nothing to register); 1: one was refused or failed, with the reason; 2: the
job's settings are wrong; 3: the bot gave no answer in time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ci.bot import Away, Bot, Unusable
from ci.screen import failure, line, printable

T = TypeVar("T")
GOOD = frozenset({"registered", "retired", "cancelled"})
BAD = frozenset({"refused", "failed"})


class TooLate(Exception):  # noqa: N818 - named by the situation
    """The bot did not answer, or not decide, in time."""


@dataclass
class Watch:
    """How often and how long the bot is asked, in seconds.

    every: between two questions. decision: for the verdict. silence: how long it may give no usable answer.
    """

    every: float
    decision: float
    silence: float
    _heard: float = field(default_factory=time.monotonic)

    def ask(self, question: Callable[[], T]) -> T | None:
        """The answer, None when there is none now.

        Raises:
            TooLate: there was none for too long.
        """
        try:
            answer = question()
        except Away as error:
            if time.monotonic() - self._heard > self.silence:
                raise TooLate(f"{error}; for {self.silence / 60:.0f} minutes now") from None
            print(f"{printable(str(error))}; asking again", flush=True)
            return None
        self._heard = time.monotonic()
        return answer

    def rounds(self) -> Iterator[float]:
        """Seconds since the first round, with a pause between two."""
        begun = time.monotonic()
        while True:
            yield time.monotonic() - begun
            time.sleep(self.every)


def main(argv: Sequence[str] | None = None) -> int:
    """Follow what this pipeline's commit started."""
    parser = argparse.ArgumentParser(prog="ci.follow", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reports", type=Path, required=True, metavar="DIR", help="where runs.json goes")
    parser.add_argument("--every", type=float, default=15, metavar="SECONDS", help="between two questions (15)")
    parser.add_argument("--decision", type=float, default=1800, metavar="SECONDS", help="wait for the verdict (1800)")
    parser.add_argument("--silence", type=float, default=3600, metavar="SECONDS", help="the bot may be away (3600)")
    args = parser.parse_args(argv)
    watch = Watch(args.every, args.decision, args.silence)
    try:
        bot = Bot.from_environment()
        return _follow(bot, watch, os.environ.get("CI_COMMIT_SHA", ""), args.reports)
    except Unusable as error:
        print(f"ci.follow: {error}", file=sys.stderr)
        return 2
    except TooLate as error:
        print(f"ci.follow: {error}; the run itself goes on: retry this job, or read the comment", file=sys.stderr)
        return 3


def _follow(bot: Bot, watch: Watch, commit: str, reports: Path) -> int:
    found = _verdict(bot, watch, commit)
    for reason in found.get("reasons") or []:
        print(f"commit {commit[:12]}: {printable(str(reason))}")
    runs = [dict(run) for run in found.get("runs") or []]
    if not runs:
        print(f"commit {commit[:12]}: the bot found no run to start")
    # What was refused may be no run: then its file names it.
    last = {str(run.get("sha256") or run["experiment"]): run for run in runs}
    _until_over(bot, watch, last)
    reports.mkdir(parents=True, exist_ok=True)
    (reports / "runs.json").write_text(json.dumps([*last.values()], indent=2) + "\n", encoding="utf-8")
    bad = [run for run in last.values() if run["state"] in BAD]
    for run in bad:
        print("\n".join(failure(run)))
    return int(bool(bad or found.get("reasons")))


def _verdict(bot: Bot, watch: Watch, commit: str) -> dict[str, Any]:
    """The bot's decision about every experiment of the commit."""
    said = ""
    for seconds in watch.rounds():
        found = watch.ask(partial(bot.verdict, commit))
        if found is not None and found.get("state") == "decided":
            return found
        now = f"commit {commit[:12]}: waiting for the bot's verdict" + _waiting(found)
        if now != said:
            print(now, flush=True)
            said = now
        if seconds > watch.decision:
            raise TooLate(f"no verdict on {commit[:12]} in {watch.decision / 60:.0f} minutes{_waiting(found)}")
    raise AssertionError("the rounds do not end")


def _waiting(found: dict[str, Any] | None) -> str:
    heard = found or {}
    reasons = [
        *(heard.get("reasons") or []),
        *(why for run in heard.get("runs") or [] for why in run.get("reasons") or []),
    ]
    return f" ({'; '.join(printable(str(reason)) for reason in reasons)})" if reasons else ""


def _until_over(bot: Bot, watch: Watch, runs: dict[str, dict[str, Any]]) -> None:
    """Ask for each run until it is over, and keep in `runs` what was last heard of it."""
    decided, said = dict(runs), dict[str, str]()
    for _ in watch.rounds():
        for key, known in [*runs.items()]:
            heard = None if known["state"] in GOOD | BAD else watch.ask(partial(bot.run, key))
            runs[key] = known if heard is None else {**decided[key], **heard}
            if (now := line(runs[key])) != said.get(key):
                print(now, flush=True)
                said[key] = now
        if all(run["state"] in GOOD | BAD for run in runs.values()):
            return


if __name__ == "__main__":
    sys.exit(main())
