"""Merge requests of tests/fixtures/merge-requests, judged over tests/fixtures/plan-repository."""

from __future__ import annotations

import shutil
from pathlib import Path

from tools.bot.records import MergeRequest, User
from tools.bot.report.changes import Change
from tools.bot.report.needs import Before
from tools.bot.report.recompute import Report, recompute
from tools.bot.report.text import comment
from tools.expand import overlay
from tools.formats.lock import Authorized
from tools.repository import Repository
from tools.resolve import resolve

ROOT = Path(__file__).resolve().parents[3]
PLATFORM = ROOT / "tests" / "fixtures" / "plan-repository"
REQUESTS = ROOT / "tests" / "fixtures" / "merge-requests"
ANNA = User(101, "anna.nowak")
HEAD, TARGET = "a1" * 20, "b2" * 20


def platform(folder: Path) -> Path:
    """A copy of the platform that a test may change."""
    return Path(shutil.copytree(PLATFORM, folder / "platform"))


def authorized(root: Path, name: str, at: str = "2026-10-01T08:00:00Z") -> str:
    """Write the overlay of an experiment as the bot would have; the lock's full hash."""
    repository = Repository(root)
    lock = resolve(repository, "team-a", name, repository.experiment(f"experiments/team-a/{name}.yaml"))
    signed = Authorized(at=at, commit="a" * 40, merge_request=1, approvers=["maria.wisniewska"])
    folder = root / overlay.folder(lock.run)
    folder.mkdir(parents=True)
    for file, content in overlay.files(lock.model_copy(update={"authorized": signed})).items():
        (folder / file).write_bytes(content)
    return lock.sha256


def judged(root: Path, *cases: str, removed: tuple[str, ...] = (), author: User = ANNA) -> Report:
    """Lay the files of merge requests over the platform in `root`, take others away, and judge."""
    names = {path.name for path in (root / "tenants").iterdir()}
    before = Before.read(Repository(root), names)
    changes = [Change(path, "removed") for path in removed]
    for case in cases:
        for source in sorted(path for path in (REQUESTS / case).rglob("*") if path.is_file()):
            path = source.relative_to(REQUESTS / case).as_posix()
            changes.append(Change(path, "changed" if (root / path).exists() else "added"))
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, root / path)
    for path in removed:
        (root / path).unlink(missing_ok=True)
    return recompute(Repository(root), before, changes, author)


def request(**changed: object) -> MergeRequest:
    """A merge request as the forge gives it."""
    fields: dict[str, object] = {
        "iid": 12,
        "state": "opened",
        "title": "An experiment",
        "web_url": "https://gitlab.example/ml/platform/-/merge_requests/12",
        "author": ANNA,
        "source_branch": "exp-003",
        "target_branch": "main",
        "source_project_id": 7,
        "head_sha": HEAD,
        "merge_commit_sha": None,
        "squash_commit_sha": None,
        "merged_at": None,
        "merged_by": None,
    }
    return MergeRequest(**{**fields, **changed})  # type: ignore[arg-type]


def said(report: Report) -> str:
    """The comment about a report."""
    return comment(request(), report, TARGET)
