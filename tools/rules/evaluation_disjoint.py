"""Held-out data is not trained on: no dataset stands in both lists, under another name neither.

A model that has seen the answers is not measured by them. Two manifests of the same file (the same SHA-256) are the same data.
Single rows that stand in both are looked for when the data is read: they are left out of every score and counted in the report.

Fails:

    datasets: [support-pl]
    evaluation: {datasets: [support-pl]}

Passes:

    datasets: [support-pl]
    evaluation: {datasets: [held-out-pl]}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.rules.evaluation import datasets
from tools.rules.subject import Subject

ID = "evaluation-disjoint"
KIND = "experiment"
NEEDS = ("evaluation", "datasets")


def check(subject: Subject) -> Iterator[Finding]:
    """Compare names and hashes."""
    repository, tenant = subject.repository, subject.tenant_name
    trained = subject.experiment.datasets
    hashes = {found.sha256: name for name in trained if (found := repository.dataset(tenant, name)) is not None}
    for index, name in datasets(subject):
        held_out = repository.dataset(tenant, name)
        same = name if name in trained else hashes.get(held_out.sha256) if held_out else None
        if same is not None:
            other = "" if same == name else f" (the same file as {quote(same)})"
            text = f"held-out data {quote(name)}{other} is trained on"
            remedy = "split the data into two files, and `ft dataset add` each"
            place = ("evaluation", "datasets", index)
            yield subject.parsed.document.finding(place, ID, text, "data that is not in datasets:", remedy)
