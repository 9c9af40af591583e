"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["right", "wrong", "unseen"]


@dataclass(frozen=True, slots=True)
class Result:
    """One setting of a cluster.

    state: `unseen` where this person or this place cannot see it.
    subject: the object, for instance `ConfigMap argocd/argocd-cm`. found, wanted, remedy: empty where it is right.
    """

    check: str
    state: State
    subject: str
    found: str = ""
    wanted: str = ""
    remedy: str = ""


def right(check: str, subject: str) -> Result:
    """As it should be."""
    return Result(check, "right", subject)


def wrong(check: str, subject: str, found: str, wanted: str, remedy: str) -> Result:
    """Missing or different."""
    return Result(check, "wrong", subject, found, wanted, remedy)


def unseen(check: str, subject: str, why: str, remedy: str) -> Result:
    """Not to be seen from here."""
    return Result(check, "unseen", subject, why, "", remedy)
