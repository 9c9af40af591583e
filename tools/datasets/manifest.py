"""A dataset's manifest, `tenants/<tenant>/datasets/<name>.yaml`: made from a report, and guarded once a run relies on it."""

from __future__ import annotations

from tools.datasets.check import Report
from tools.expand import locks
from tools.expand.yamltext import dump
from tools.formats.dataset import Dataset, TokenLengths
from tools.formats.lock import Lock
from tools.repository import Repository


def manifest(report: Report, *, description: str, path: str, tokens: TokenLengths | None) -> Dataset:
    """What the manifest says about a file without errors; `path` is below /storage/data/training-datasets/."""
    layout = report.layout
    assert layout is not None
    return Dataset.model_validate(
        {
            "version": 1,
            "description": description,
            "path": path,
            "format": layout.format,
            "ranking": layout.ranking,
            "columns": dict(layout.columns),
            "tags": dict(layout.tags),
            "sha256": report.sha256,
            "size": report.size,
            "rows": report.rows,
            "empty_rows": report.empty,
            "duplicate_rows": report.duplicates,
            "tokens": tokens,
        }
    )


def as_yaml(dataset: Dataset, tenant: str, name: str) -> str:
    """The manifest's file: a header for its readers, then the values that were set."""
    header = (
        f"# Dataset {name} of {tenant}: what it is and what its file must be. Written by `ft dataset add`; the tenant's\n"
        f"# members own it. Check it with `ft validate tenants/{tenant}/datasets/{name}.yaml`; a changed file needs a new\n"
        "# manifest: add it under a new name.\n"
    )
    return header + dump(dataset.model_dump(mode="json", exclude_none=True))


def relying_runs(repository: Repository, tenant: str, name: str, dataset: Dataset) -> list[str]:
    """Overlays of the tenant's runs that were locked with this name or path and another content."""
    found = []
    for folder in locks.runs(repository):
        lock = locks.read(repository, folder).value if folder.split("/")[2] == tenant else None
        if lock is not None and _relies_on_another(lock, name, dataset):
            found.append(folder)
    return found


def _relies_on_another(lock: Lock, name: str, dataset: Dataset) -> bool:
    return any(
        locked.sha256 != dataset.sha256 and (locked.name == name or locked.path == dataset.path)
        for locked in lock.run.datasets
    )
