"""A served version was not trained on recalled data.

`recalls/<tenant>/<dataset>.yaml` names contents that must no longer be used. A model that was trained on one of them, or whose
base model was, is not promoted, nor rolled back to, until the recall is lifted or the model is cleared in it. While such a
model is served this is a warning, so that the file that recalls it can be merged at once.

Fails:

    run_id: exp-001-3fa1b2c3      # recalls/team-a/support-pl.yaml names its data

Passes:

    run_id: exp-002-9c0d1e2f      # trained on other data
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tools.findings import Finding, compose
from tools.formats.serving import Serving
from tools.recalls import Recalls
from tools.rules.entry import Entry
from tools.rules.served import environment, is_served, record

ID = "serving-recall"
KIND = "serving"
NEEDS = ("run_id",)


def check(entry: Entry[Serving]) -> Iterator[Finding]:
    """Look for recalls of what the run was trained on."""
    found, recalls = record(entry), Recalls(entry.repository)
    document, served = entry.parsed.document, is_served(entry)
    for each in recalls.blocking(found) if found is not None else ():
        state = each.recall.state_of(environment(entry), entry.value.run_id)
        via = "" if each.used_by == found else f" through its base model, made by {each.used_by.run_id}"
        what = f"{entry.value.run_id} was trained on data that {each.file} recalls{via}, and is {state}"
        allowed = "models without recalled data, or cleared in the recall"
        remedy = "take it out of service, or serve another version" if served else "serve another version"
        finding = document.finding(("run_id",), ID, what, allowed, remedy)
        yield replace(finding, severity="warning") if served else finding
    for file in recalls.unreadable:
        if file.split("/")[1] == entry.tenant_name:
            message = compose(f"{file} cannot be read, so what it recalls is not known", "a valid recall", "correct it")
            yield Finding(document.file, 1, 1, ID, "warning" if served else "error", message)
