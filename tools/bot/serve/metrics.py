"""What Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()
WEBHOOKS = Counter("ft_bot_webhooks", "Webhooks by what became of them", ["result"], registry=REGISTRY)
TASKS = Counter("ft_bot_tasks", "Tasks by how they ended", ["kind", "result"], registry=REGISTRY)
SECONDS = Histogram("ft_bot_task_seconds", "Time that a task took", ["kind"], registry=REGISTRY)
DELAY = Histogram(
    "ft_bot_task_delay_seconds", "Time from asking for a task to its end: from webhook to comment", ["kind"],
    registry=REGISTRY,
)  # fmt: skip
WAITING = Gauge("ft_bot_tasks_waiting", "Tasks that are not finished", ["kind"], registry=REGISTRY)


def waiting(numbers: Mapping[str, int]) -> None:
    """Set the queue's length."""
    WAITING.clear()
    for kind, number in numbers.items():
        WAITING.labels(kind).set(number)


def text() -> bytes:
    """All of them, in Prometheus' text format."""
    return generate_latest(REGISTRY)
