"""Removes what a survey says may go, one part after the other."""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import quote
from tools.plan.words import size
from tools.storage.removal import Busy, Removals
from tools.storage.survey import Survey
from tools.storage.tree import Unreal


def lines(survey: Survey) -> Iterator[str]:
    """What would go, for a dry run."""
    for each in survey.removable:
        yield f"would remove {quote(each.part.path, 120)} ({size(each.part.size.used)}): {each.reason}"
    freed = sum(each.part.size.used for each in survey.removable)
    yield from (f"not known: {why}; no merged model goes" for why in survey.unknown)
    yield (
        f"{len(survey.removable)} folders, {size(freed)}; nothing was removed: add --yes" if freed else "nothing may go"
    )


def carry_out(survey: Survey, failures: list[str]) -> Iterator[str]:
    """Remove it, a line for each; what could not be removed is added to `failures` with the reason.

    Raises:
        ToolFault: another prune is at work, or no record can be kept.
    """
    freed = 0
    removals = Removals(survey.tree)
    with removals.held():
        for each in survey.removable:
            path = quote(each.part.path, 120)
            try:
                removals.remove(each, tenant=survey.tenant, environment=survey.environment)
            except FileNotFoundError:
                continue  # somebody else removed it since the survey
            except Busy as busy:
                failures.append(f"{path} stays: {busy}; run the command again when it has ended")
            except Unreal as error:
                failures.append(f"{path} stays: {error.strerror}; look at it by hand")
            except OSError as error:
                failures.append(f"{path} is not removed: {error.strerror}; correct it, the next prune goes on")
            else:
                freed += each.part.size.used
                yield f"removed {path} ({size(each.part.size.used)}): {each.reason}"
    yield from (f"not known: {why}; no merged model went" for why in survey.unknown)
    yield from failures
    yield f"{size(freed)} freed; the record is {survey.tree.root}/removals.jsonl"
