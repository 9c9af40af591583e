"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["right", "wrong", "paid", "unseen"]


@dataclass(frozen=True, slots=True)
class Result:
    """One protection.

    state: `paid` where this GitLab's tier cannot give it, `unseen` where this token cannot see it. subject: whose it is, for
    instance `branch main`. found, wanted, remedy: empty where it is right; the remedy is the setting's place in the pages and
    its name in the API.
    """

    check: str
    state: State
    subject: str
    found: str = ""
    wanted: str = ""
    remedy: str = ""


def right(check: str, subject: str) -> Result:
    """It holds."""
    return Result(check, "right", subject)


def wrong(check: str, subject: str, found: str, wanted: str, remedy: str) -> Result:
    """It is missing."""
    return Result(check, "wrong", subject, found, wanted, remedy)


def paid(check: str, subject: str, found: str, wanted: str, remedy: str) -> Result:
    """It needs Premium; the remedy says what holds without it."""
    return Result(check, "paid", subject, found, wanted, remedy)


def unseen(check: str, subject: str, why: str, remedy: str) -> Result:
    """Not to be seen with this token."""
    return Result(check, "unseen", subject, why, "", remedy)


def judged(check: str, subject: str, found: str, wanted: str, remedy: str, *, holds: bool) -> Result:
    """Right or wrong."""
    return right(check, subject) if holds else wrong(check, subject, found, wanted, remedy)
