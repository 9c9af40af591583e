"""What can go wrong between here and an API server, named by the user's situation.

ClusterFault            (a ToolFault: exit 3)
├── Unreachable         no answer, none that makes sense, or the login is not accepted
├── Refused             the server answers, and does not let this person read it
└── Missing             no such object, or no such kind
"""

from __future__ import annotations

from tools.errors import ToolFault


class ClusterFault(ToolFault):
    """Base of all."""


class Unreachable(ClusterFault):
    """The server does not answer, or not this person."""


class Refused(ClusterFault):
    """Not allowed."""


class Missing(ClusterFault):
    """Not there."""
