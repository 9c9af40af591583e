"""What an evaluation names is there: datasets with a valid manifest, behaviours with a valid file, both the tenant's own.

Held-out data is a dataset like any other: `ft dataset add` writes its manifest, with the hash that the run is held to.

Fails:

    evaluation: {datasets: [held-out], behaviours: [polit]}     # did you mean "polite"?

Passes:

    evaluation: {datasets: [held-out-pl], behaviours: [polite]}
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from tools.findings import Finding, quote
from tools.rules.evaluation import datasets, section
from tools.rules.subject import Subject

ID = "evaluation-known"
KIND = "experiment"
NEEDS = ("evaluation",)
_ADD = {
    "datasets": "add it with `ft dataset add FILE --tenant {tenant}`",
    "behaviours": "write tenants/{tenant}/behaviours/{name}.yaml",
}


def check(subject: Subject) -> Iterator[Finding]:
    """Look for each file."""
    found = section(subject)
    if found is None or subject.tenant is None:
        return
    tenant, repository = subject.tenant_name, subject.repository
    for index, name in datasets(subject):
        if repository.dataset(tenant, name) is None:
            yield _finding(subject, "datasets", index, name)
    for index, name in enumerate(found.behaviours):
        if repository.behaviour(tenant, name) is None:
            yield _finding(subject, "behaviours", index, name)


def _finding(subject: Subject, kind: str, index: int, name: str) -> Finding:
    folder = f"tenants/{subject.tenant_name}/{kind}"
    known = subject.repository.names(folder)
    place = ("evaluation", kind, index)
    if name in known:
        remedy = f"run `ft validate {folder}/{name}.yaml`"
        return subject.parsed.document.finding(place, ID, f"{kind} {quote(name)} is not valid", None, remedy)
    near = get_close_matches(name, known, n=1)
    add = _ADD[kind].format(tenant=subject.tenant_name, name=name)
    remedy = f'did you mean "{near[0]}"?' if near else add
    allowed = ", ".join(known) or f"none yet: {folder} is empty"
    return subject.parsed.document.finding(place, ID, f"no {kind} {quote(name)}", allowed, remedy)
