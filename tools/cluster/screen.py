"""What `ft watch` shows: on a terminal a table with bars that is drawn in place, elsewhere a line for each change."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tools.cluster import report, text
from tools.cluster.watching import Glance

_BAR = 24
_STYLES = {
    "running": "green",
    "publishing": "green",
    "finished": "bold green",
    "failed": "bold red",
    "cancelled": "dim",
    "unknown": "yellow",
}


class Screen:
    """Shows glances one after the other; a context, as a terminal has to be given back."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stdout, soft_wrap=True, highlight=False, markup=False)
        self._live: Live | None = None
        self._said: dict[str, tuple[Any, ...]] = {}
        self._away = False
        self._notes: set[str] = set()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, glance: Glance) -> None:
        """Draw it, or say what has changed."""
        if self._live is not None:
            self._live.update(picture(glance), refresh=True)
        else:
            self._say(glance)

    def _say(self, glance: Glance) -> None:
        if (glance.away_since is not None) != self._away:
            self._away = glance.away_since is not None
            self._line(_away(glance) if self._away else "the cluster answers again")
        for note in glance.look.notes:
            if note not in self._notes:
                self._line(f"note: {note}")
        self._notes = set(glance.look.notes)
        for status in glance.look.statuses:
            run = report.run(status)
            tracked = run["mlflow"]
            whole = int(tracked["percent"]) if tracked and tracked["percent"] is not None else None
            news = (run["phase"], run["reason"], whole)
            if self._said.get(text.title(run)) != news:
                self._said[text.title(run)] = news
                parts = [part for part in (run["phase"], text.progress(tracked), run["reason"]) if part]
                remedy = f" -> {run['remedy']}" if run["remedy"] else ""
                self._line(f"{text.title(run)}: {'; '.join(parts)}{remedy}")

    def _line(self, words: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')} {words}")


def picture(glance: Glance) -> Group:
    """All runs as one table, with the reason below each that waits."""
    table = Table(box=None, pad_edge=False)
    for name in ("experiment", "phase", "", "progress"):
        table.add_column(name, overflow="fold")
    for status in glance.look.statuses:
        run = report.run(status)
        tracked = run["mlflow"]
        percent = tracked["percent"] if tracked else None
        percent = 100.0 if run["phase"] == "finished" else percent
        bar = ProgressBar(100, percent, width=_BAR) if percent is not None else ""
        below = "\n".join(part for part in (run["reason"], run["remedy"] and f"-> {run['remedy']}") if part)
        words = "\n".join(part for part in (text.progress(tracked) + text.age(run), below) if part)
        table.add_row(text.title(run), Text(run["phase"], _STYLES.get(run["phase"], "yellow")), bar, Text(words))
    notes = [Text(f"note: {note}", "dim") for note in glance.look.notes]
    return Group(table, *([Text(_away(glance), "bold yellow")] if glance.away_since else []), *notes)


def _away(glance: Glance) -> str:
    since = time.strftime("%H:%M:%S", time.localtime(glance.away_since))
    return f"cluster unreachable since {since}, trying again: {glance.look.unreachable}"
