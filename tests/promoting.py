"""A bank whose run exp-001 has been trained twice: two finished, registered and evaluated versions of one model."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests import audited
from tests.authorizing import Bank
from tests.gitlab.model import Merge
from tests.gitlab.site import DATA, ROOT, build
from tests.gitlab.standin import GitLab
from tools.formats.audit import Audit, Registered
from tools.formats.lock import Lock, seal
from tools.formats.serving import Serving
from tools.repository import Repository
from tools.serving_file import served_by, text

NAME = "team-a.customer-topics"
FILE = "serving/dev/team-a/customer-topics.yaml"
FOLDER = "overlays/dev/_serving/team-a/customer-topics"
RECALL = "recalls/team-a/customer-topics.yaml"
ANNA, MARIA = "anna.nowak", "maria.wisniewska"


def runs(root: Path) -> tuple[Audit, Audit]:
    """Version 3, and version 4 of a second run on the same data; both passed their evaluation."""
    lock = Repository(root).lock("overlays/dev/team-a/exp-001/run.yaml")
    changed = lock.run.model_copy(update={"settings": {**lock.run.settings, "seed": 43}})
    other = seal(changed, attempt=1, state="active", authorized=None)
    return _record(lock, 3, "c3" * 32), _record(other, 4, "c4" * 32)


def _record(lock: Lock, version: int, publication: str) -> Audit:
    ended = audited.outcome("finished", version=version)
    made = Registered(name=NAME, version=version, publication=publication, evaluation="passed")
    return audited.record(lock, ended.model_copy(update={"registered": made}))


def platform(root: Path) -> tuple[Audit, Audit]:
    """This repository's own data with those two records, below `root`."""
    for folder in (name for name in DATA if (ROOT / name).is_dir()):
        shutil.copytree(ROOT / folder, root / folder)
    found = runs(root)
    for record in found:
        audited.write(root, record)
    return found


def open_bank(gitlab: GitLab, folder: Path, signing: tuple[Path, str]) -> tuple[Bank, tuple[Audit, Audit]]:
    """A bank over that platform."""
    found = platform(folder / "platform")
    (folder / "bot").mkdir()
    return Bank(build(gitlab, folder / "platform"), folder / "bot", *signing), found


def serves(record: Audit) -> Serving:
    """What the file of a run says."""
    served = served_by(record)
    assert served is not None
    return served


def files(record: Audit) -> dict[str, str]:
    """The change that serves a run."""
    return {FILE: text("dev", NAME, serves(record))}


def promoted(bank: Bank, record: Audit) -> Merge:
    """Anna proposes, Maria approves and merges, the bot looks."""
    merge = bank.site.propose(bank.site.user(ANNA), files(record))
    bank.site.approve(MARIA, merge)
    bank.site.merge(MARIA, merge)
    bank.round()
    return merge


def recall(record: Audit, **more: str) -> dict[str, str]:
    """A recall of the data of both runs; `more` are further lines."""
    (sha256,) = record.hashes.datasets.values()
    lines = {
        "version": "1",
        "reason": "A customer withdrew consent",
        "opened_by": ANNA,
        "opened_at": "2026-11-20T08:00:00Z",
    }
    body = "".join(f"{key}: {value}\n" for key, value in {**lines, "sha256": f"[{sha256}]", **more}.items())
    return {RECALL: f"# Data that no model may be promoted from.\n{body}"}
