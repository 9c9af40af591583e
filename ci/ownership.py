"""Marks what a merge request changes outside its author's tenants: that needs a platform admin's approval.

A remark for reviewers, no protection: a merge request can edit this file too. The bot judges by its own released code, with
the same function.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ci.changed import Changed
from tools.bot.records import User
from tools.bot.report.changes import outside, tenant_of
from tools.findings import Finding, compose
from tools.formats.tenant import Tenant
from tools.repository import Repository

RULE = "needs-admin"
_ALLOWED = "experiments/<tenant>/ and tenants/<tenant>/datasets/ of a tenant whose member the author is"
_REMEDY = "nothing to do for the author; a platform admin has to approve the merge request as well"


def author(environment: Mapping[str, str]) -> User | None:
    """Who started the pipeline, which is the author unless somebody else pushed; None outside merge requests."""
    number = environment.get("GITLAB_USER_ID", "")
    if not environment.get("CI_MERGE_REQUEST_IID") or not number.isdecimal():
        return None
    return User(int(number), environment.get("GITLAB_USER_LOGIN", ""))


def findings(root: Path, base: str, found: Changed, user: User) -> list[Finding]:
    """A warning for each path that `user` may not change alone; tenants count as `base` has them."""
    tenants = dict(_tenants(root, base, {name for path in found.paths if (name := tenant_of(path)) is not None}))
    reasons = ((path, outside(path, user, tenants)) for path in sorted(found.paths))
    return [
        Finding(path, 1, 1, RULE, "warning", compose(reason, _ALLOWED, _REMEDY)) for path, reason in reasons if reason
    ]


def _tenants(root: Path, base: str, names: set[str]) -> Iterator[tuple[str, Tenant]]:
    """The tenants as a commit has them."""
    with tempfile.TemporaryDirectory() as folder:
        before = Repository(Path(folder))
        for name in names:
            file = f"tenants/{name}/tenant.yaml"
            shown = subprocess.run(
                ["git", "cat-file", "blob", f"{base}:{file}"], cwd=root, check=False, capture_output=True
            )
            if shown.returncode:
                continue
            (before.root / file).parent.mkdir(parents=True)
            (before.root / file).write_bytes(shown.stdout)
            if (tenant := before.tenant(name)) is not None:
                yield name, tenant
