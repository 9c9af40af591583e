"""Measures Argo CD on a real control plane: `python -m bench.programs.cluster FOLDER [--quick]`, a JSON line for each figure.

Pods run nowhere: their status is written as a kubelet would, so that the two cores belong to the control plane and Argo CD.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from bench.programs.argocd_usage import Usage, usage
from bench.programs.cluster_site import Site, running

_GOAL = 5.0  # seconds from a commit to its Job, with a webhook
_APART = 7.0  # seconds between commits that nobody tells of: every phase of the polling comes


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    commits: int
    finished: tuple[int, ...]
    beside: int  # more experiments at each size
    idle: float  # seconds


_FULL = Sizes(commits=20, finished=(100, 500), beside=5, idle=75)
_QUICK = Sizes(commits=3, finished=(10,), beside=2, idle=20)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; progress goes to standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(arguments)
    lines = sys.stdout
    with redirect_stdout(sys.stderr), running(args.folder) as site:
        for figure in _figures(site, _QUICK if args.quick else _FULL):
            print(json.dumps(figure), file=lines, flush=True)
    return 0


def _figures(site: Site, sizes: Sizes) -> Iterator[dict[str, object]]:
    yield _idle(site, 0, sizes.idle)
    for how, commits in (("with a webhook", _told), ("with polling", _untold)):
        before = usage(site.argocd)
        seconds = commits(site, sizes.commits)
        yield _latency("commit to Job", how, seconds, usage(site.argocd).since(before))
    site.finish()
    for number in sizes.finished:
        started = time.monotonic()
        site.fill(number)
        print(f"{number} finished runs after {time.monotonic() - started:.0f} s", file=sys.stderr)
        yield _idle(site, number, sizes.idle)
        before = usage(site.argocd)
        seconds = _told(site, sizes.beside)
        yield _latency(f"{number} finished runs", "one more, with a webhook", seconds, usage(site.argocd).since(before))
        site.finish()
    before, started, number = usage(site.argocd), time.monotonic(), site.retire()
    used = usage(site.argocd).since(before)
    yield _figure("retiring", f"{number} runs in one commit", used, time.monotonic() - started, "commit")
    yield _idle(site, 0, sizes.idle, "after retiring all of them")


def _told(site: Site, number: int) -> list[float]:
    """Seconds from each commit to its Job, one after the other, with both webhooks."""
    return [site.until_started(site.commit(tell=True)) for _ in range(number)]


def _untold(site: Site, number: int) -> list[float]:
    """The same without webhooks, a few seconds apart and not one after the other."""
    for _ in range(number):
        site.commit()
        site.watch(_APART)
    return site.watched()


def _latency(benchmark: str, what: str, seconds: list[float], used: Usage) -> dict[str, object]:
    worst = max(seconds)
    goal = f"; goal {_GOAL:.0f} s {'met' if worst <= _GOAL else 'MISSED'}" if "webhook" in what else ""
    figure = _figure(benchmark, what, used, statistics.median(seconds), "commit")
    count = len(seconds)
    return figure | {"cpu": used.cpu / count, "remark": f"median; worst of {count}: {worst:.1f} s{goal}"}


def _idle(site: Site, number: int, seconds: float, what: str = "nothing happens") -> dict[str, object]:
    before = usage(site.argocd)
    time.sleep(seconds)
    after = usage(site.argocd)
    used = after.since(before)
    figure = _figure(f"{number} finished runs", what, used, used.reconciling, "minute")
    each = f"{used.reconciled * 60 / seconds:.0f} reconciliations a minute, {used.each * 1000:.0f} ms each (wall: their sum)"
    figure["wall"] = used.reconciling * 60 / seconds
    return figure | {"cpu": used.cpu * 60 / seconds, "remark": f"{each}; {after.memories}"}


def _figure(benchmark: str, what: str, used: Usage, wall: float, unit: str) -> dict[str, object]:
    values = {"cpu": used.cpu, "wall": wall, "memory": used.memory, "unit": unit, "remark": used.memories}
    return {"benchmark": benchmark, "what": what, **values}


if __name__ == "__main__":
    sys.exit(main())
