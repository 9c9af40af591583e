"""What a person sees of a running Job: a progress bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_HIDDEN = frozenset({"event", "time"})


def event_of(line: str) -> dict[str, Any] | None:
    """The event in a line of the runner's output, None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) and isinstance(data.get("event"), str) else None


def in_words(event: dict[str, Any]) -> str:
    """An event in one line: `loss 1.23, 850 tokens/s` and so on for progress, `name: key=value, ...` for others."""
    if event["event"] == "message":
        return str(event.get("text", ""))
    if event["event"] == "failure" and "cause" in event:
        return f"{event['cause']}; {event.get('remedy', '')}".rstrip("; ")
    if event["event"] == "progress":
        return ", ".join(_measured(event))
    fields = ", ".join(f"{key}={value}" for key, value in event.items() if key not in _HIDDEN and _is_short(value))
    return f"{event['event']}: {fields}" if fields else str(event["event"])


class Screen:
    """Shows events of one Job after the other; a context, as a progress bar has to be taken away again."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stdout, soft_wrap=True, highlight=False, markup=False)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._percent = -1

    def say(self, text: str) -> None:
        """One line, above the bar where there is one."""
        self.console.print(text)

    def event(self, event: dict[str, Any]) -> None:
        """Show an event of the runner."""
        if event["event"] != "progress":
            self.say(f"  {in_words(event)}")
        elif self.console.is_terminal:
            self._draw(event)
        else:
            self._print(event)

    def end(self) -> None:
        """The Job is over: take its bar away."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._percent = None, -1

    def _draw(self, event: dict[str, Any]) -> None:
        if self._bar is None:
            columns = (TextColumn("  {task.percentage:>3.0f} %"), BarColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, TimeElapsedColumn(), console=self.console)
            self._bar.start()
            self._task = self._bar.add_task("", total=event.get("steps"))
        self._bar.update(self._task, completed=event.get("step"), total=event.get("steps"), description=in_words(event))

    def _print(self, event: dict[str, Any]) -> None:
        """One line for each whole percent, so that a log of a long run stays readable."""
        percent = int(event.get("percent") or 0)
        if percent != self._percent:
            self._percent = percent
            self.say(f"  {percent:>3} % {in_words(event)}")


def _measured(event: dict[str, Any]) -> list[str]:
    parts = [f"step {event.get('step')}/{event.get('steps')}"]
    if (seconds := event.get("eta_seconds")) is not None:
        parts.append(f"{timedelta(seconds=round(seconds))} left")
    if (loss := event.get("loss")) is not None:
        parts.append(f"loss {loss:.4g}")
    if (speed := event.get("tokens_per_second")) is not None:
        parts.append(f"{speed:,.0f} tokens/s")
    return parts


def _is_short(value: Any) -> bool:
    return value is not None and not isinstance(value, (dict, list))
