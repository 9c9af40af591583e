"""No new run is trained on recalled data.

`recalls/<tenant>/<dataset>.yaml` names contents that must no longer be used. A model of them could never be promoted. For an
experiment that has an overlay already this is a warning: cancel it, or let it end unpromoted.

Fails:

    datasets: [support-pl]      # recalls/team-a/support-pl.yaml names its content

Passes:

    datasets: [support-pl-2]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tools.findings import Finding, quote
from tools.recalls import Recalls
from tools.rules.datasets import named
from tools.rules.subject import Subject

ID = "dataset-recalled"
KIND = "experiment"
NEEDS: tuple[str, ...] = ()


def check(subject: Subject) -> Iterator[Finding]:
    """Compare each dataset's content with what is recalled."""
    repository, tenant = subject.repository, subject.tenant_name
    if not (repository.root / "recalls" / tenant).is_dir():
        return
    recalls = {file: each for file, each in Recalls(repository).files.items() if file.split("/")[1] == tenant}
    for index, name in named(subject):
        manifest = repository.dataset(tenant, name)
        for file, recall in recalls.items():
            if manifest is None or recall.lifted is not None or manifest.sha256 not in recall.sha256:
                continue
            found = f"the content of {quote(name)} is recalled: {file}"
            remedy = "take the rows out and add the data under a new name (`ft dataset add`)"
            finding = subject.parsed.document.finding(("datasets", index), ID, found, "other data", remedy)
            running = bool(repository.locks.of(tenant, subject.name))
            yield replace(finding, severity="warning") if running else finding
