"""Writes docs/examples/merge-request-comment.md; a test compares it.

.venv/bin/python -m tests.unit.bot.example > docs/examples/merge-request-comment.md
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.unit.bot.reporting import ROOT, authorized, judged, platform, request, said
from tools.bot.report.following import Promise, Seen
from tools.bot.report.following_text import comment
from tools.bot.report.logtail import Tail
from tools.cluster.tracking import Tracked
from tools.repository import Repository

FILE = ROOT / "docs" / "examples" / "merge-request-comment.md"
_MLFLOW = "https://mlflow.example/#"
_NOW = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
_LOG = (
    '{"event": "progress", "time": 1795421640.2, "step": 4, "percent": 1.07, "loss": 2.41}',
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.91 GiB.",
    "runner: out of memory: 78.90 GiB of GPU memory measured before the failing allocation",
)
_INTRODUCTION = """\
# What the bot writes on a merge request

One comment, kept up to date, as GitLab shows it. A test makes this page from `tests/fixtures/merge-requests` and compares it,
so it is what the bot really writes. Names and addresses are examples.
"""


def page() -> str:
    """The whole page."""
    with tempfile.TemporaryDirectory() as folder:
        ready, faulty = _before(Path(folder))
        running, failed = _after(Path(folder))
    parts = {
        "Ready for approval": ready,
        "With errors": faulty,
        "While it trains": running,
        "After a failure": failed,
    }
    return _INTRODUCTION + "".join(f"\n## {title}\n\n{body}" for title, body in parts.items())


def _before(folder: Path) -> tuple[str, str]:
    root = platform(folder / "ready")
    month = Repository(root).locks.month
    authorized(root, "exp-001", f"{month}-02T08:00:00Z")
    ready = said(judged(root, "high")).replace(f"GPU-hours in {month}", "GPU-hours in 2026-11")
    return ready.replace(f"GPU\\-hours in {month}", "GPU\\-hours in 2026-11"), said(
        judged(platform(folder / "bad"), "faulty")
    )


def _after(folder: Path) -> tuple[str, str]:
    root = platform(folder / "after")
    authorized(root, "exp-001")
    lock = Repository(root).lock("overlays/dev/team-a/exp-001/run.yaml")
    promise = Promise("dev", "team-a", "exp-001", lock.run_id, lock.sha256)
    tracked = Tracked(
        run_id="0a1b2c",
        url=f"{_MLFLOW}/experiments/7/runs/0a1b2c",
        percent=42.0,
        eta_seconds=723.0,
        loss=1.234,
        tokens_per_second=850.0,
        updated=_NOW.timestamp() - 20,
    )
    curve = tuple((step, round(0.9 + 1.6 * 0.985**step, 4)) for step in range(10, 160, 10))
    running = Seen(promise, "running", publishes="team-a.support", lock=lock, tracked=tracked, curve=curve)
    failed = Seen(
        promise,
        "failed",
        reason="out of memory: 78.90 GiB of GPU memory measured (training failed: PodFailurePolicy, exit code 4: out of memory)",
        remedy="lower per_device_train_batch_size or cutoff_len, use method: qlora, or ask for a larger GPU",
        publishes="team-a.support",
        lock=lock,
        tail=Tail(f"{lock.run_id}-a1-x7k2p", _LOG),
    )
    merged = request(state="merged", merge_commit_sha="c3" * 20)
    return comment(merged, [running], _NOW), comment(merged, [failed], _NOW)


if __name__ == "__main__":
    print(page(), end="")
