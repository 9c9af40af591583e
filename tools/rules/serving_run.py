"""A served version is one that the platform made: its audit record says so, with the hash of what was published.

The bot writes the record when the run has ended: the registered version, and the SHA-256 of publication.json, which holds the
hash of every other file of the folder. A version that was registered by hand, of another tenant, of another environment, or a
folder that was changed since has no such record.

Fails:

    run_id: exp-001-0badc0de      # audit/<env>/<tenant>/ has no record of it
    publication: ffff...          # the record has another hash

Passes:

    run_id: exp-001-3fa1b2c3
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.formats.audit import path
from tools.formats.serving import Serving
from tools.rules.entry import Entry
from tools.rules.served import environment, record, registered

ID = "serving-run"
KIND = "serving"
NEEDS = ("run_id",)
_AGAIN = "write the file with `ft promote`"


def check(entry: Entry[Serving]) -> Iterator[Finding]:
    """Compare with the record."""
    served, document = entry.value, entry.parsed.document
    file, found = path(environment(entry), entry.tenant_name, served.run_id), record(entry)
    if found is None:
        allowed = f"a run with a record in {file.rpartition('/')[0]}/"
        yield document.finding(("run_id",), ID, f"{file} is missing or not valid", allowed, "name a run that has ended")
        return
    made = registered(found)
    if made is None:
        remedy = "wait until the bot has recorded it; `ft status` says where the run stands"
        yield document.finding(("run_id",), ID, f"{file} has no registered version", "a registered run", remedy)
        return
    name = f"{entry.tenant_name}.{entry.name}"
    if made.name != name:
        remedy = "name a run of this model, or the file after that model"
        yield document.finding(("run_id",), ID, f"the run made {made.name}", name, remedy)
        return
    if entry.parsed.usable("model_version") and made.version != served.model_version:
        said = f"version {served.model_version}"
        yield document.finding(("model_version",), ID, said, f"{made.version}, by {file}", _AGAIN)
    if made.publication is None:
        remedy = "publish it again with this release's runner: `ft publish RUN_ID`"
        yield document.finding(("publication",), ID, f"{file} has no hash of what was published", "one", remedy)
    elif entry.parsed.usable("publication") and made.publication != served.publication:
        remedy = f"{_AGAIN}; a published folder that changed must not be served"
        yield document.finding(("publication",), ID, served.publication[:12], f"{made.publication}, by {file}", remedy)
