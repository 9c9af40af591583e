"""What one check of `ft doctor` found, of a cluster or of a GitLab project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["right", "wrong", "paid", "unseen"]


@dataclass(frozen=True, slots=True)
class Result:
    """One setting.

    state: `paid` where this tier of GitLab cannot give it, `unseen` where this person, token or place cannot see it.
    subject: whose it is, for instance `ConfigMap argocd/argocd-cm` or `branch main`. found, wanted, remedy: empty where it
    is right.
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


def paid(check: str, subject: str, found: str, wanted: str, remedy: str) -> Result:
    """It needs a paid tier; the remedy says what holds without it."""
    return Result(check, "paid", subject, found, wanted, remedy)


def unseen(check: str, subject: str, why: str, remedy: str) -> Result:
    """Not to be seen from here."""
    return Result(check, "unseen", subject, why, "", remedy)


def judged(check: str, subject: str, found: str, wanted: str, remedy: str, *, holds: bool) -> Result:
    """Right or wrong."""
    return right(check, subject) if holds else wrong(check, subject, found, wanted, remedy)
