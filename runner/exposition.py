"""The run's `/metrics` for Prometheus, while it trains. No login: it tells figures, and a NetworkPolicy says who may ask.

Off unless RUNNER_METRICS_PORT names a port, which the Job of base/training does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from runner import nvml
from runner.events import message
from runner.stall import WATCH
from tools.formats.lock import Lock

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PORT = "RUNNER_METRICS_PORT"
PREFIX = "finetuning_"
GIB = 2**30
LABELS = ("tenant", "run_id")
# name -> (help, key of the last progress report, factor to the base unit)
REPORTED: dict[str, tuple[str, str, float]] = {
    "progress_ratio": ("Steps done, of all", "percent", 0.01),
    "step": ("Steps done, those before a resume included", "step", 1),
    "steps_planned": ("Steps in all", "steps", 1),
    "eta_seconds": ("Time left", "eta_seconds", 1),
    "eta_error_seconds": ("Half the width of its 95 % interval", "eta_error_seconds", 1),
    "step_seconds": ("Mean time of a step in this process", "seconds_per_step", 1),
    "loss": ("Training loss, as logged last", "loss", 1),
    "learning_rate": ("Learning rate, as logged last", "learning_rate", 1),
    "gradient_norm": ("Norm of the gradient before clipping, as logged last", "grad_norm", 1),
    "tokens_seen": ("Tokens trained on, without padding", "tokens", 1),
    "tokens_per_second": ("Tokens trained on between the last two reports", "tokens_per_second", 1),
    "samples_per_second": ("Rows trained on between the last two reports", "samples_per_second", 1),
    "memory_bytes": ("Resident memory of the training process", "memory_gib", GIB),
    "gpu_memory_peak_bytes": ("Most GPU memory that torch reserved", "gpu_memory_gib", GIB),
}
GPU: dict[str, tuple[str, Callable[[nvml.Reading], float | None]]] = {
    "gpu_memory_used_bytes": ("GPU memory in use, by NVML", lambda reading: reading.used),
    "gpu_memory_total_bytes": ("GPU memory, by NVML", lambda reading: reading.total),
    "gpu_utilisation_ratio": ("Share of the last second in which a kernel ran, by NVML", lambda reading: reading.busy),
}
SINCE_STEP = "seconds_since_last_step"
SINCE_ANYTHING = "seconds_since_progress"
INFO = "run_info"


class Collector:
    """What one scrape gets. `latest` gives the last progress report."""

    def __init__(self, lock: Lock, latest: Callable[[], Mapping[str, Any]]) -> None:
        self._lock = lock
        self._latest = latest

    def collect(self) -> Iterator[Metric]:
        """Every metric; one without a value has its help and type alone."""
        latest = self._latest()
        for name, (text, key, factor) in REPORTED.items():
            value = latest.get(key)
            yield self._gauge(name, text, None if value is None else value * factor)
        readings = nvml.readings()
        for name, (text, of) in GPU.items():
            family = self._family(name, text, (*LABELS, "gpu"))
            for index, reading in enumerate(readings):
                if (figure := of(reading)) is not None:
                    family.add_metric([*self._values(), str(index)], figure)
            yield family
        yield self._gauge(SINCE_STEP, "Time since the last step ended", WATCH.seconds_since_step)
        yield self._gauge(
            SINCE_ANYTHING, "Time since anything happened: a batch, a checkpoint", WATCH.seconds_since_beat
        )
        yield self._info()

    def _gauge(self, name: str, text: str, value: float | None) -> Any:
        family = self._family(name, text, LABELS)
        if value is not None:
            family.add_metric(self._values(), value)
        return family

    def _info(self) -> Any:
        run = self._lock.run
        labels = {"experiment": run.name, "model": run.model.name, "attempt": str(self._lock.attempt)}
        family = self._family(INFO, "What the run is; always 1", (*LABELS, *labels))
        family.add_metric([*self._values(), *labels.values()], 1)
        return family

    def _family(self, name: str, text: str, labels: tuple[str, ...]) -> Any:
        from prometheus_client.core import GaugeMetricFamily

        return GaugeMetricFamily(PREFIX + name, text, labels=labels)

    def _values(self) -> list[str]:
        return [self._lock.run.tenant, self._lock.run_id]


def serve(lock: Lock, latest: Callable[[], Mapping[str, Any]]) -> int | None:
    """Answer scrapes from a thread until the process ends; the port, or None where none is wanted or it is taken."""
    wanted = os.environ.get(PORT)
    if not wanted:
        return None
    try:
        from prometheus_client import CollectorRegistry, start_http_server

        registry = CollectorRegistry()
        registry.register(Collector(lock, latest))
        server, _ = start_http_server(int(wanted), registry=registry)
    except (ImportError, OSError, ValueError) as error:  # training is worth more than its picture
        message(f"{PORT}={wanted}: no metrics: {error}")
        return None
    return int(server.server_port)
