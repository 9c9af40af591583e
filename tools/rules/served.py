"""What the rules about `serving/<env>/<tenant>/<model_name>.yaml` share: its place, and the record of the run it names."""

from __future__ import annotations

from tools.formats.audit import Audit, Registered, path
from tools.formats.serving import Serving
from tools.rules.entry import Entry


def environment(entry: Entry[Serving]) -> str:
    """The environment, from the path."""
    return entry.parsed.document.file.split("/")[1]


def record(entry: Entry[Serving]) -> Audit | None:
    """The audit record of the run; None where there is no valid one, which the rule `serving-run` refuses."""
    return entry.repository.optional(path(environment(entry), entry.tenant_name, entry.value.run_id), Audit)


def registered(found: Audit) -> Registered | None:
    """The version that came of the run's last attempt that has one."""
    outcomes = (attempt.outcome for attempt in reversed(found.attempts))
    return next((each.registered for each in outcomes if each is not None and each.registered is not None), None)


def is_served(entry: Entry[Serving]) -> bool:
    """Whether the overlay serves this very version already: then a fault is to be seen, and nothing new is allowed by it."""
    from tools.expand import serving

    folder = serving.folder_of(environment(entry), entry.tenant_name, entry.name)
    lock = serving.read(entry.repository, folder).value if (entry.repository.root / folder).is_dir() else None
    return lock is not None and lock.content.served == entry.value
