"""A loss curve as a Mermaid chart, which GitLab draws in comments (docs: user/markdown.md, Mermaid; xychart-beta)."""

from __future__ import annotations

from collections.abc import Sequence

_POINTS = 50


def loss_chart(curve: Sequence[tuple[int, float]]) -> list[str]:
    """Lines of a chart of (step, loss), thinned to 50 means; empty for less than two points. Numbers only: nothing to escape."""
    if len(curve) < 2:  # noqa: PLR2004 - a line has two ends
        return []
    points = thinned(curve)
    low, high = min(points), max(points)
    margin = (high - low or abs(high) or 1.0) * 0.05
    values = ", ".join(f"{point:.5g}" for point in points)
    return [
        "```mermaid",
        "xychart-beta",
        '    title "Training loss"',
        f'    x-axis "step" {curve[0][0]} --> {curve[-1][0]}',
        f'    y-axis "loss" {low - margin:.4g} --> {high + margin:.4g}',
        f"    line [{values}]",
        "```",
    ]


def thinned(curve: Sequence[tuple[int, float]]) -> list[float]:
    """Means over equal spans of steps, as the chart spaces its points evenly; an empty span repeats the one before."""
    first, last = curve[0][0], curve[-1][0]
    count = min(_POINTS, len(curve))
    spans: list[list[float]] = [[] for _ in range(count)]
    for step, loss in curve:
        place = (step - first) * count // (last - first + 1)
        spans[place].append(loss)
    found: list[float] = []
    for span in spans:
        found.append(sum(span) / len(span) if span else found[-1])
    return found
