from __future__ import annotations

import io

import pytest
from rich.console import Console

from tools.localrun.screen import Screen, event_of, in_words


def test_a_terminal_gets_a_bar_with_the_time_left() -> None:
    """One bar that is drawn again for each progress event; other events stand above it."""
    stream = io.StringIO()
    screen = Screen(Console(file=stream, force_terminal=True, width=100))
    screen.event({"event": "progress", "step": 3, "steps": 12, "percent": 25, "eta_seconds": 90, "loss": 1.5})
    screen.event({"event": "message", "text": "MLflow is away"})
    screen.end()
    out = stream.getvalue()
    assert " 25 %" in out
    assert "step 3/12, 0:01:30 left, loss 1.5" in out
    assert "MLflow is away" in out


@pytest.mark.parametrize(
    "line", ["", "plain words", "{not json", '{"no": "event"}', '{"event": 3}', "[1]", '"text"', "{'loss': 1.2}"]
)
def test_lines_of_other_programs_are_no_events(line: str) -> None:
    """LLaMA Factory and its libraries write to the same stream."""
    assert event_of(line) is None


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"event": "message", "time": 1.0, "text": "resumes"}, "resumes"),
        ({"event": "failure", "exit_code": 3, "cause": "data changed", "remedy": "add it anew"}, "data changed; add it anew"),
        ({"event": "checkpoint", "time": 1.0, "path": "/x", "step": 5}, "checkpoint: path=/x, step=5"),
        ({"event": "data", "time": 1.0, "rows": {"topics": 4}}, "data"),
        ({"event": "progress", "step": None, "steps": None, "loss": None, "eta_seconds": None}, "step None/None"),
    ],
)  # fmt: skip
def test_events_are_said_in_a_line(event: dict[str, object], words: str) -> None:
    """Each kind as a person wants to read it; unknown kinds show their short fields."""
    assert in_words(event) == words
