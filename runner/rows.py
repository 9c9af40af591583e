"""Compares the rows that reached training with those of the lock: LLaMA Factory skips a bad row with no more than a warning."""

from __future__ import annotations

import math
from typing import Any

from runner.events import emit
from tools.formats.lock import Lock


def expected_rows(lock: Lock) -> int | None:
    """Rows that should reach training; None where the count is no longer one of rows (packing, interleaving, streaming)."""
    settings = lock.run.settings
    packed = (
        settings.get("packing")
        or settings.get("neat_packing")
        or (settings["stage"] == "pt" and "packing" not in settings)
    )
    if packed or settings.get("streaming") or settings.get("mix_strategy", "concat") != "concat":
        return None
    most = settings.get("max_samples")
    rows = sum(min(dataset.rows, most or dataset.rows) for dataset in lock.run.datasets)
    held_out = settings.get("val_size") or 0
    # datasets' train_test_split takes a share rounded up, or a number of rows as it is.
    return rows - (int(held_out) if held_out > 1 else math.ceil(held_out * rows))


def report_rows(lock: Lock, dataset: Any) -> int | None:
    """Print what reached training against what should have; returns the number, None for a stream without one."""
    found = len(dataset) if hasattr(dataset, "__len__") else None
    wanted = expected_rows(lock)
    skipped = wanted - found if wanted is not None and found is not None else None
    fields: dict[str, Any] = {"rows_expected": wanted, "rows_trained": found, "rows_skipped": skipped}
    if skipped:
        fields["remedy"] = "`ft dataset check FILE` names the rows that LLaMA Factory cannot use"
    emit("data", **fields)
    return found
