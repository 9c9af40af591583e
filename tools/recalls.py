"""Which models came of a recalled dataset: by the content's hash, through base models that the platform itself trained.

Records under audit/ say what each run was trained on, and outlive the overlays. A run counts by the tenant's recall of its own
data; a run of any tenant counts as well whose base model came, at any remove, from such a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from tools.formats.audit import Audit
from tools.formats.model import Model
from tools.formats.parse import parse
from tools.formats.recall import Recall
from tools.repository import Repository

FOLDER = "recalls"
_FROM_REGISTRY = "registry:"
_REVISION = re.compile(r"version [0-9]+, run ([a-z0-9-]+)\Z")


@dataclass(frozen=True, slots=True)
class Recalled:
    """Why a run counts as trained on recalled data: the file, what it says, and the run that used the data itself."""

    file: str
    recall: Recall
    used_by: Audit


@dataclass
class Recalls:
    """All recalls and records of a repository, read once."""

    repository: Repository
    _records: dict[str, Audit | None] = field(default_factory=dict, repr=False)

    @cached_property
    def files(self) -> dict[str, Recall]:
        """Every valid recall by its file; the faults of others are `ft validate`'s matter."""
        root = self.repository.root
        paths = sorted(path.relative_to(root).as_posix() for path in root.glob(f"{FOLDER}/*/*.yaml"))
        found = ((file, self.repository.optional(file, Recall)) for file in paths)
        return {file: recall for file, recall in found if recall is not None}

    @property
    def unreadable(self) -> list[str]:
        """Recalls that say nothing anybody could follow: what they block is not known."""
        root = self.repository.root
        paths = (path.relative_to(root).as_posix() for path in root.glob(f"{FOLDER}/*/*.yaml"))
        return sorted(file for file in paths if file not in self.files)

    def of(self, record: Audit) -> list[Recalled]:
        """The recalls of data that the run, or a run that its base model came from, was trained on."""
        found = []
        for each in self.lineage(record):
            for file, recall in self.files.items():
                if file.split("/")[1] == each.tenant and set(recall.sha256) & set(each.hashes.datasets.values()):
                    found.append(Recalled(file, recall, each))
        return found

    def blocking(self, record: Audit) -> list[Recalled]:
        """Those that forbid to promote the run."""
        return [each for each in self.of(record) if each.recall.blocks(record.environment, record.run_id)]

    def lineage(self, record: Audit) -> Iterator[Audit]:
        """The run itself, and the runs that its base model came from, nearest first."""
        seen: set[str] = set()
        waiting = [record]
        while waiting:
            each = waiting.pop(0)
            if each.file not in seen:
                seen.add(each.file)
                yield each
                waiting += self._parents(each)

    def trained_on(self, tenant: str, hashes: set[str]) -> list[Audit]:
        """Every run that used one of these contents of the tenant's, or was made from a model that did."""

        def used(each: Audit) -> bool:
            return each.tenant == tenant and bool(hashes & set(each.hashes.datasets.values()))

        return [record for record in self.all_records() if any(map(used, self.lineage(record)))]

    def all_records(self) -> list[Audit]:
        """Every valid audit record, by file."""
        root = self.repository.root
        paths = sorted(path.relative_to(root).as_posix() for path in root.glob("audit/*/*/[!.]*.yaml"))
        return [record for path in paths if (record := self._record(path)) is not None]

    def _parents(self, record: Audit) -> list[Audit]:
        """The runs whose published files are this run's base model, as catalog/models says where they came from."""
        made_by = {run_id for files, run_id in self._taken_up if files == record.hashes.model}
        return [each for each in self.all_records() if each.run_id in made_by] if made_by else []

    @cached_property
    def _taken_up(self) -> list[tuple[dict[str, str], str]]:
        """Base models that the platform trained: the hashes of their files, and the run."""
        found = []
        for name in self.repository.names("catalog/models"):
            model = self.repository.model(name)
            if model is not None and (run_id := _run_of(model)):
                found.append(({file: entry.sha256 for file, entry in model.files.items()}, run_id))
        return found

    def _record(self, file: str) -> Audit | None:
        if file not in self._records:
            parsed = parse(Audit, self.repository.document(file))
            self._records[file] = parsed.value if not parsed.findings else None
        return self._records[file]


def _run_of(model: Model) -> str:
    """The run that made a base model (`ft model add --from-registry` wrote its source); empty for all others."""
    match = _REVISION.fullmatch(model.source.revision)
    return match[1] if match and model.source.repository.startswith(_FROM_REGISTRY) else ""


def weaker(old: Recall, new: Recall | None) -> list[str]:
    """In what a changed recall blocks less than before, a phrase each; None: the file is gone."""
    if new is None:
        return ["the recall is removed"]
    found = [f"content {sha256[:12]} is no longer named" for sha256 in old.sha256 if sha256 not in new.sha256]
    if old.lifted is None and new.lifted is not None:
        found.append("the recall is lifted")
    for each in (*old.models, *new.models):
        before, after = (recall.state_of(each.environment, each.run_id) for recall in (old, new))
        if _STRENGTH[after] < _STRENGTH[before]:
            found.append(f"{each.run_id} in {each.environment} goes from {before} to {after}")
    return list(dict.fromkeys(found))


_STRENGTH = {"cleared": 0, "open": 1, "withdrawn": 2}
