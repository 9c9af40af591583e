"""One signed commit on main, checked as a whole before it exists and pushed with the branch that the cluster follows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import ToolFault
from tools.expand import check
from tools.findings import Finding
from tools.repository import Repository

if TYPE_CHECKING:
    from tools.bot.mirror import Mirror

MAIN = "main"
_MOST_NAMED = 5


class CheckFailed(ToolFault):
    """`ft expand --check` found faults in the tree that was to be pushed: nothing was."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        shown = "; ".join(f"{found.file}:{found.line}: {found.message}" for found in findings[:_MOST_NAMED])
        more = f"; {len(findings) - _MOST_NAMED} more" if len(findings) > _MOST_NAMED else ""
        super().__init__(f"ft expand --check: {shown}{more}; correct it by a merge request, until then no branch moves")


def commit(
    mirror: Mirror,
    environment: str,
    base: str,
    changes: Mapping[str, bytes | None],
    message: str,
    *,
    deploy: bool,
    before_push: Callable[[str], None] = lambda _commit: None,
) -> str:
    """Commit `changes` (path -> content, None removes it) over main's tip `base` and push them; returns the commit.

    deploy: whether `deployed/<environment>` moves with main, in the same atomic push. before_push: told of the commit
    when everything is there but the push.

    Raises:
        CheckFailed: the resulting tree has faults.
        PushLost: main or the deployed branch moved meanwhile: fetch, decide again.
    """
    with tempfile.TemporaryDirectory(prefix="ft-tree-") as folder:
        tree = Path(folder)
        mirror.materialise(base, tree)
        apply(tree, changes)
        errors = [finding for finding in check.check(Repository(tree)).findings if finding.severity == "error"]
        if errors:
            raise CheckFailed(errors)
    made = mirror.commit(base, changes, message)
    before_push(made)
    branches: dict[str, tuple[str | None, str]] = {MAIN: (base, made)}
    if deploy:
        branch = f"deployed/{environment}"
        branches[branch] = (mirror.tip(branch), made)
    mirror.push(branches)
    return made


def apply(tree: Path, changes: Mapping[str, bytes | None]) -> None:
    """Make the files in a folder those of the commit to be."""
    for path, content in changes.items():
        target = tree / path
        if content is None:
            target.unlink()
            _prune(target.parent, tree)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _prune(folder: Path, tree: Path) -> None:
    """Remove folders that are empty now: git knows none."""
    while folder != tree and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def message(subject: str, merge_requests: Iterable[int]) -> str:
    """A commit message whose trailers name the merge requests."""
    trailers = "".join(f"Merge-Request: !{iid}\n" for iid in sorted(set(merge_requests)))
    return f"{subject}\n\n{trailers}" if trailers else f"{subject}\n"
