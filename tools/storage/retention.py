"""What may go: one verdict for each part of the storage, with its reason. In doubt a part stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tools.formats.base import seconds
from tools.formats.retention import Retention
from tools.recalls import Recalls
from tools.storage.aliases import Aliases
from tools.storage.layout import Part
from tools.storage.runs import Run
from tools.storage.serving import Served

QUIET = timedelta(hours=1)  # what was written so lately is in use, whatever git says
_KEPT = {
    "data": "training data: nobody but its owners may remove it",
    "other": "not recognised: nobody but a person may remove it",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """removable: whether `ft storage prune` takes it away. reason: why, or why not."""

    part: Part
    removable: bool
    reason: str


@dataclass(frozen=True)
class Judge:
    """All that the verdicts are made from. unknown: why nothing merged may go."""

    runs: Mapping[str, Run]
    retention: Retention
    served: Served
    aliases: Aliases
    recalls: Recalls
    now: datetime

    @property
    def unknown(self) -> list[str]:
        """What is not known of the models in use; nothing merged is removed while there is any."""
        return [*self.served.unknown, *self.aliases.unknown]

    def verdicts(self, parts: Sequence[Part]) -> list[Verdict]:
        """A verdict for each part, in their order; models are decided first, as what they are made from stays with them."""
        newest = self._newest(parts)
        found: dict[str, Verdict] = {}
        kept: set[str] = set()
        for part in sorted(parts, key=lambda each: each.kind != "model"):
            why = next(self._protections(part), None) or self._by_kind(part, newest, kept)
            found[part.path] = why if isinstance(why, Verdict) else Verdict(part, False, why)
            if part.kind == "model" and part.run_id is not None and not found[part.path].removable:
                kept.add(part.run_id)
        return [found[part.path] for part in parts]

    def _protections(self, part: Part) -> Iterator[str]:
        """Why the part stays whatever its age, the plainest reason first."""
        if part.kind in _KEPT:
            yield _KEPT[part.kind]
        if part.size.faults:
            yield f"not all of it can be seen ({part.size.faults[0]}): look at it by hand"
        if part.kind == "removed":
            return
        run = self.runs.get(part.run_id or "")
        if run is None:
            yield "git has no such run of this tenant and environment: look at it by hand"
            return
        if run.state == "active":
            yield "git has no record that the run is over: it runs, waits or is a local one"
        if run.state == "unclear":
            yield "git does not say how the run ended"
        if self.now - datetime.fromtimestamp(part.size.newest, UTC) < QUIET:
            yield "written within the last hour"
        yield from self._recalled(run)

    def _recalled(self, run: Run) -> Iterator[str]:
        if self.recalls.unreadable:
            yield f"{self.recalls.unreadable[0]} is not valid, so what is recalled is not known"
        if run.record is None:
            return
        for each in self.recalls.of(run.record):
            if each.recall.lifted is None and each.recall.state_of(run.record.environment, run.run_id) == "open":
                yield f"recalled by {each.file} and not reviewed"

    def _by_kind(self, part: Part, newest: Mapping[str, set[str]], kept: set[str]) -> str | Verdict:
        if part.kind == "removed":
            return Verdict(part, True, "an interrupted prune left it")
        run = self.runs[part.run_id or ""]
        if part.kind == "model":
            since = max(filter(None, (run.ended, self.served.last.get(run.run_id))), default=None)
            wanted = next(self._uses(part, run, newest), None)
            return wanted or self._aged(part, self.retention.models, "neither served nor wanted by the registry", since)
        if run.state != "finished":
            return self._aged(part, self.retention.unfinished, f"of a {run.state} run", run.ended)
        if part.kind in {"checkpoints", "staging"}:
            needed = "" if run.registered else "not registered yet: publishing may still need it"
            return needed or self._aged(part, self.retention.checkpoints, "of a finished run", run.ended)
        needed = "the run's overlay is there: without its result it would be trained again" if run.overlay else ""
        needed = needed or ("its merged model is kept" if run.run_id in kept else "")
        return needed or self._aged(part, self.retention.adapters, "without a merged model", run.ended)

    def _uses(self, part: Part, run: Run, newest: Mapping[str, set[str]]) -> Iterator[str]:
        """Why a merged model stays at any age."""
        if run.run_id in self.served.now:
            yield "served"
        if self.unknown:
            yield f"what is served and what is champion is not known ({self.unknown[0]})"
        if aliases := self.aliases.of.get(run.run_id):
            yield f"the registry's {', '.join(sorted(aliases))}"
        if run.overlay:
            yield "the run's overlay is there: it would be published again"
        if run.run_id in newest.get(part.model or "", ()):
            yield f"one of the {self.retention.keep_models} newest of {part.model}"

    def _aged(self, part: Part, limit: str, what: str, since: datetime | None) -> str | Verdict:
        if since is None:
            return "git does not say when the run ended"
        age = self.now - since
        reason = f"{what}, for {age.days} days; kept for {limit}"
        return Verdict(part, True, reason) if age >= timedelta(seconds=seconds(limit)) else reason

    def _newest(self, parts: Sequence[Part]) -> dict[str, set[str]]:
        """Model name -> the newest runs that have a merged folder."""
        by_model: dict[str, list[Run]] = defaultdict(list)
        for part in parts:
            run = self.runs.get(part.run_id or "")
            if part.kind == "model" and part.model is not None and run is not None:
                by_model[part.model].append(run)
        oldest = datetime.min.replace(tzinfo=UTC)
        ordered = {
            model: sorted(runs, key=lambda run: run.ended or oldest, reverse=True) for model, runs in by_model.items()
        }
        return {model: {run.run_id for run in runs[: self.retention.keep_models]} for model, runs in ordered.items()}
