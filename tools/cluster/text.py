"""A look at runs for people: one run with everything about it, several as a table with the reason below each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from tools.cluster import report
from tools.cluster.look import Look
from tools.cluster.reasons import one_line

_LABEL = 10
_LONG = 160


def lines(look: Look) -> Iterator[str]:
    """What `ft status` prints."""
    runs = [report.run(status) for status in look.statuses]
    if look.unreachable is not None:
        yield f"The cluster cannot be read: {look.unreachable}"
        yield "What follows comes from git and MLflow alone."
        yield ""
    if len(runs) == 1:
        yield from details(runs[0])
    elif runs:
        yield from table(runs)
    else:
        yield "no runs here"
    yield from (f"note: {note}" for note in look.notes)


def table(runs: list[dict[str, Any]]) -> Iterator[str]:
    """One line a run, and why it waits or failed."""
    rows = [(title(run), run["run_id"] or "-", run["phase"], progress(run["mlflow"]) or "-") for run in runs]
    heads = ("experiment", "run", "phase", "progress")
    widths = [max(len(str(row[column])) for row in (heads, *rows)) for column in range(len(heads))]
    yield _row(heads, widths)
    for run, row in zip(runs, rows, strict=True):
        yield _row(row, widths)
        if run["reason"]:
            yield f"    {run['reason']}"
        if run["remedy"] and run["phase"] != "not-authorized":
            yield f"    -> {run['remedy']}"


def details(run: dict[str, Any]) -> Iterator[str]:
    """Everything about one run."""
    yield f"{title(run)} in {run['environment']}: {run['phase']}"
    for label, text in _details(run):
        if text:
            yield f"  {label:<{_LABEL}}{text}"


def title(run: dict[str, Any]) -> str:
    """`team-a/exp-001`."""
    return f"{run['tenant']}/{run['experiment']}"


def progress(tracked: dict[str, Any] | None) -> str:
    """`42 %, 0:12:03 ± 0:00:40 left, loss 1.23, 850 tokens/s, 12 samples/s, GPU 31.2 GiB 98 %`; empty before the first step."""
    if tracked is None or tracked["percent"] is None:
        return ""
    parts = [f"{tracked['percent']:.0f} %"]
    if tracked["eta_seconds"]:
        parts.append(f"{left(tracked['eta_seconds'], tracked['eta_error_seconds'])} left")
    if tracked["loss"] is not None:
        parts.append(f"loss {tracked['loss']:.4g}")
    if tracked["tokens_per_second"]:
        parts.append(f"{tracked['tokens_per_second']:,.0f} tokens/s")
    if tracked["samples_per_second"]:
        parts.append(f"{tracked['samples_per_second']:.3g} samples/s")
    if tracked["gpu_memory_gib"] is not None:
        busy = tracked["gpu_utilisation_percent"]
        parts.append(f"GPU {tracked['gpu_memory_gib']:.1f} GiB" + (f" {busy:.0f} %" if busy is not None else ""))
    return ", ".join(parts)


def left(seconds: float, error: float | None) -> str:
    """`0:12:03 ± 0:00:40`: time left with half the width of its 95 % interval."""
    uncertain = f" ± {timedelta(seconds=round(error))}" if error is not None else ""
    return f"{timedelta(seconds=round(seconds))}{uncertain}"


def _details(run: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "why", run["reason"]
    yield "cause", f"{run['cause']} (docs/failures.md)" if run["cause"] else ""
    yield "next", run["remedy"]
    yield "run", _git(run)
    yield "argo cd", _application(run["application"])
    yield "kueue", _workload(run["workload"])
    yield from _job("job", run["job"], run["pods"])
    yield from _job("publish", run["hook"], run["hook_pods"])
    yield from (("event", _event(event)) for event in run["events"])
    yield from _mlflow(run)


def _git(run: dict[str, Any]) -> str:
    if run["run_id"] is None:
        return ""
    git = run["git"]
    by = f", approved by {', '.join(git['approvers'])} in !{git['merge_request']}" if git["approvers"] else ""
    return f"{run['run_id']}, attempt {git['attempt']}, namespace {run['namespace']}{by}"


def _application(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    operation = (
        f", operation {found['operation']}: {one_line(found['message'] or '', _LONG)}" if found["operation"] else ""
    )
    deleting = ", being deleted" if found["deleting"] else ""
    return f"{found['name']}: {found['sync'] or '-'}, {found['health'] or '-'}{operation}{deleting}"


def _workload(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    place = f", position {found['position']} of {found['waiting']}" if found["position"] else ""
    true = [entry["type"] for entry in found["conditions"] if entry["status"] == "True"]
    return f"{found['name']} in queue {found['queue']}{place}{': ' if true else ''}{', '.join(true)}"


def _job(label: str, found: dict[str, Any] | None, pods: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    if found is None:
        return
    true = [f", {entry['type']}" for entry in found["conditions"] if entry["status"] == "True"]
    counts = ", ".join(f"{found[key]} {key}" for key in ("active", "succeeded", "failed"))
    suspended = ", suspended" if found["suspended"] else ""
    yield label, f"{found['name']}: {counts}{suspended}{''.join(true)}"
    for pod in pods:
        details = [f"on {pod['node']}" if pod["node"] else "on no node", pod["waiting"] or ""]
        details += [f"exit code {pod['exit_code']}" if pod["exit_code"] is not None else ""]
        details += [f"{pod['restarts']} restarts" if pod["restarts"] else "", "ending" if pod["deleting"] else ""]
        yield "pod", f"{pod['name']}: {pod['phase']}, {', '.join(part for part in details if part)}"


def _event(event: dict[str, Any]) -> str:
    times = f" ({event['count']} times)" if event["count"] > 1 else ""
    return f"{event['time'][:19]}Z {event['reason']}{times}: {one_line(event['message'] or '', _LONG)}"


def _mlflow(run: dict[str, Any]) -> Iterator[tuple[str, str]]:
    tracked = run["mlflow"]
    if tracked is None:
        return
    yield "progress", f"{progress(tracked)}{age(run)}" if progress(tracked) else ""
    yield "mlflow", tracked["url"]
    yield "model", f"version {tracked['version']}, {tracked['version_url']}" if tracked["version"] else ""


def age(run: dict[str, Any]) -> str:
    """` (0:00:12 ago)`: how old the figures of a run that trains are."""
    tracked = run["mlflow"]
    return f" ({_ago(tracked['updated'])})" if tracked and tracked["updated"] and run["phase"] == "running" else ""


def _ago(moment: float) -> str:
    return f"{timedelta(seconds=max(0, round(time.time() - moment)))} ago"


def _row(cells: tuple[Any, ...], widths: list[int]) -> str:
    return "  ".join(f"{cell!s:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
