"""Each dataset has a valid manifest of the tenant.

`ft dataset add` writes `tenants/<tenant>/datasets/<dataset>.yaml` with the data's hash, rows and token lengths. Data
without a manifest cannot be checked before the run. Datasets of other tenants are out of reach.

Fails:

    datasets: [suport-pl]       # did you mean "support-pl"?

Passes:

    datasets: [support-pl]
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from tools.findings import Finding, quote
from tools.formats.dataset import Dataset
from tools.rules.dataset_media import media_of
from tools.rules.datasets import named
from tools.rules.subject import Subject

ID = "dataset-known"
KIND = "experiment"
NEEDS: tuple[str, ...] = ()


def check(subject: Subject) -> Iterator[Finding]:
    """Look for each manifest."""
    repository, tenant = subject.repository, subject.tenant_name
    if subject.tenant is None:
        return
    seen = set()
    for index, name in named(subject):
        if name in seen or repository.dataset(tenant, name) is not None:
            continue
        seen.add(name)
        file = f"tenants/{tenant}/datasets/{name}.yaml"
        there = (repository.root / file).is_file()
        yield subject.parsed.document.finding(
            ("datasets", index), ID, *(_invalid if there else _missing)(subject, name)
        )


def _invalid(subject: Subject, name: str) -> tuple[str, str | None, str]:
    file = f"tenants/{subject.tenant_name}/datasets/{name}.yaml"
    media = media_of(subject.repository.read(file, Dataset).document)
    remedy = f"run `ft validate {file}`"
    if media:
        return f"the dataset {quote(name)} holds {', '.join(media)}", "text only, for now", remedy
    return f"the dataset {quote(name)} is not valid", None, remedy


def _missing(subject: Subject, name: str) -> tuple[str, str | None, str]:
    known = subject.repository.names(f"tenants/{subject.tenant_name}/datasets")
    near = get_close_matches(name, known, n=1)
    remedy = f'did you mean "{near[0]}"?' if near else "add it with `ft dataset add`"
    return f"{subject.tenant_name} has no dataset {quote(name)}", ", ".join(known) or "none yet", remedy
