"""`dataloader_prefetch_factor` needs workers that prefetch.

Transformers refuses it when `dataloader_num_workers` is 0, its default.

Fails:

    train: {dataloader_prefetch_factor: 2}

Passes:

    train: {dataloader_prefetch_factor: 2, dataloader_num_workers: 4}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.rules.subject import Subject

ID = "dataloader"
KIND = "experiment"
NEEDS = ("train",)
# Source: transformers/training_args.py, _validate_args; torch.utils.data.DataLoader for persistent workers.
_NEED_WORKERS = ("dataloader_prefetch_factor", "dataloader_persistent_workers")


def check(subject: Subject) -> Iterator[Finding]:
    """Look for options of workers that do not exist."""
    workers = subject.train.get("dataloader_num_workers", 0)
    if workers or ("dataloader_num_workers" in subject.experiment.train and workers is None):
        return
    if "dataloader_num_workers" in subject.experiment.train and "dataloader_num_workers" not in subject.train:
        return
    for key in _NEED_WORKERS:
        if subject.train.get(key):
            remedy = "add dataloader_num_workers: 4 under train:"
            where = ("train", key)
            yield subject.parsed.document.finding(where, ID, f"{key} without workers", None, remedy, key=True)
