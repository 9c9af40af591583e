"""The behaviours that an experiment names have at most 32 KiB together, as its lock holds them.

Their content becomes part of the lock, so that the run is held to it, and a lock is a file of at most 64 KiB. A letter with a
diacritic takes six bytes there.

Fails:

    evaluation: {behaviours: [long-1, long-2]}      # 40 KiB of prompts

Passes:

    evaluation: {behaviours: [polite]}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.expand.yamltext import dump
from tools.findings import Finding
from tools.rules.evaluation import section
from tools.rules.subject import Subject

ID = "evaluation-size"
KIND = "experiment"
NEEDS = ("evaluation",)
KIB = 1024
MOST_KIB = 32


def check(subject: Subject) -> Iterator[Finding]:
    """Add up the files' content as the lock holds it; the finding stands at the first name that is too much."""
    found, total = section(subject), 0
    for index, name in enumerate(found.behaviours if found else ()):
        behaviour = subject.repository.behaviour(subject.tenant_name, name)
        data = behaviour.model_dump(mode="json") if behaviour else {}
        total += len(dump({name: data}))
        if total > MOST_KIB * KIB:
            text = f"behaviours of {total / KIB:.1f} KiB up to here"
            place, remedy = ("evaluation", "behaviours", index), "name fewer, or shorten their prompts"
            yield subject.parsed.document.finding(place, ID, text, f"at most {MOST_KIB} KiB together", remedy)
            return
