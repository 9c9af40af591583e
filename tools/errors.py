"""All exceptions of `ft`, in one tree.

FtError
├── UsageError       the command line asks for something that cannot be done (exit 2)
└── ToolFault        the tool or its surroundings failed: no kustomize, unreadable disk, no such service (exit 3)

Faults in a user's files are not exceptions: they are `Finding`s (exit 1).
"""

from __future__ import annotations


class FtError(Exception):
    """Base of all; `exit_code` is what `main` returns."""

    exit_code = 3


class UsageError(FtError):
    """The request itself is wrong; the message says what to call instead."""

    exit_code = 2


class ToolFault(FtError):  # noqa: N818 - a fault of the tool, as the exit codes call it
    """The tool could not do its work; the message says what is missing and how to get it."""

    exit_code = 3
