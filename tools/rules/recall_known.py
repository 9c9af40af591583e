"""A recall names data that was used, of a tenant that exists.

A hash with a typo would recall nothing. Known are the contents of the tenant's manifests and those that audit records name.

Fails:

    sha256: [0000...]      # neither a manifest nor a run of team-a has it

Passes:

    sha256: [5d41...]      # that of tenants/team-a/datasets/support-pl.yaml
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, compose, quote
from tools.formats.recall import Recall
from tools.recalls import Recalls
from tools.rules.entry import Entry

ID = "recall-known"
KIND = "recall"
NEEDS: tuple[str, ...] = ()


def check(entry: Entry[Recall]) -> Iterator[Finding]:
    """Look for the tenant and each hash."""
    repository, tenant, document = entry.repository, entry.tenant_name, entry.parsed.document
    if repository.tenant(tenant) is None:
        message = compose(f"there is no valid tenant {quote(tenant)}", None, "move the file to the tenant's folder")
        yield Finding(document.file, 1, 1, ID, "error", message)
        return
    if not entry.parsed.usable("sha256"):
        return
    manifests = (repository.dataset(tenant, name) for name in repository.names(f"tenants/{tenant}/datasets"))
    known = {manifest.sha256 for manifest in manifests if manifest is not None}
    for index, sha256 in enumerate(entry.value.sha256):
        if sha256 not in known and not Recalls(repository).trained_on(tenant, {sha256}):
            found = f"no dataset and no run of {tenant} has the content {sha256[:12]}"
            remedy = f"write the file with `ft recall {tenant}/{entry.name}`"
            yield document.finding(("sha256", index), ID, found, "contents that were used", remedy)
