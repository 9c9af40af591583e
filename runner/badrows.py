"""Rows of a run's datasets that cannot be read, looked for once loading them has failed: pyarrow names neither file nor line."""

from __future__ import annotations

from collections.abc import Iterator

from runner.storage import Paths
from tools.datasets.check import check
from tools.datasets.detect import Choice
from tools.errors import UsageError

SHOWN = 5
_LIBRARIES = ("datasets.", "pyarrow.")
_LOADING = "/llamafactory/data/"


def is_loading(error: BaseException) -> bool:
    """Whether an exception comes out of reading datasets: by its class, or by LLaMA Factory's module on the way."""
    if type(error).__module__.startswith(_LIBRARIES):
        return True
    trace = error.__traceback__
    while trace is not None:
        if _LOADING in trace.tb_frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False


def bad_rows(paths: Paths) -> list[str]:
    """`file:line: row 7: what is wrong with it`, at most five; empty when every row is good."""
    found = _faults(paths)
    return [fault for fault, _ in zip(found, range(SHOWN), strict=False)]


def _faults(paths: Paths) -> Iterator[str]:
    for dataset in paths.lock.run.datasets:
        file = paths.dataset(dataset)
        try:
            report = check(file, Choice(format=dataset.format, columns=dataset.columns, tags=dataset.tags))
        except (UsageError, OSError) as error:
            yield f"{file}: {error}"
            continue
        for found in report.errors:
            yield f"{file}:{found.line}: row {found.row}: {found.message}"
