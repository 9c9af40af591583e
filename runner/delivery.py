"""Brings the spool's entries to MLflow in order, and notes how far it came."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.hashing import write_json
from runner.spool import Outbox
from runner.tracking import Refused, Run, batches

RECORD = "mlflow-run.json"
READ_AT_ONCE = 1000


class Delivery:
    """One spool and the MLflow run that it belongs to, which is found or created on first use."""

    def __init__(self, folder: Path, connect: Callable[[], Any], experiment: str, run_id: str, run_sha256: str) -> None:
        self._folder = folder
        self._connect = connect
        self._names = (experiment, run_id, run_sha256)
        self._run: Run | None = None
        self.outbox = Outbox(folder)

    def deliver(self) -> None:
        """Send all that is there.

        Raises:
            Unreachable: MLflow is away; what it has taken is noted, and the next call goes on behind it.
        """
        if self.outbox.empty:
            return
        run = self._connected()
        while chunk := self._chunk():
            position = 0
            for batch in batches([entry for entry, _ in chunk]):
                self._send(run, batch)
                position += len(batch)
                self.outbox.acknowledge(chunk[position - 1][1])

    def run_id(self) -> str:
        """The MLflow run's id: as noted when it was first reached, else asked for.

        Raises:
            Unreachable: it was never reached, and still is not.
        """
        return read_record(self._folder).get("mlflow_run_id") or self._connected().id

    def _connected(self) -> Run:
        if self._run is None:
            run = Run(self._connect(), *self._names)
            if run.created:
                self.outbox.acknowledge(0)
            self._run = run
            write_record(self._folder, {"mlflow_run_id": run.id, "experiment_id": run.experiment_id})
        return self._run

    def _send(self, run: Run, batch: list[dict[str, Any]]) -> None:
        try:
            run.send(batch)
        except Refused as refused:
            if len(batch) == 1:
                self.outbox.reject(batch[0], str(refused))
                return
            for entry in batch:  # one bad row must not take its neighbours along
                self._send(run, [entry])

    def _chunk(self) -> list[tuple[dict[str, Any], int]]:
        entries = self.outbox.entries()
        return [item for item, _ in zip(entries, range(READ_AT_ONCE), strict=False)]


def write_record(folder: Path, record: dict[str, str]) -> None:
    """Note the MLflow run's id for completion.json; a read-only folder keeps the earlier note."""
    try:
        if read_record(folder) != record:
            write_json(folder / RECORD, record)
    except OSError:
        return


def read_record(folder: Path) -> dict[str, str]:
    """The noted MLflow run, or nothing when MLflow was never reached."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
