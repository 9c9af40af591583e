"""How many processes train a run, which of them this is, and where they meet."""

from __future__ import annotations

import os
from dataclasses import dataclass

from runner.exits import BadSpec
from tools.formats.lock import Lock

# Set by base/training/v1/nodes; the completion index by Kubernetes.
NODE_RANK = "JOB_COMPLETION_INDEX"
ADDRESS = "GANG_ADDRESS"
PORT = "GANG_PORT"
# Set by torch's elastic agent for its workers, and by the supervisor.
RANK = "RANK"
FOLDER = "GANG_FOLDER"
_DEFAULT_PORT = 29500


@dataclass(frozen=True, slots=True)
class World:
    """nodes pods of `each` processes; this is pod `node`, and all meet at `address`:`port` (None: within this pod)."""

    nodes: int
    each: int
    node: int
    address: str | None
    port: int


def processes(lock: Lock) -> int:
    """Processes of one pod: one for each GPU, or one without GPUs."""
    return max(1, lock.run.resources.gpus)


def several(lock: Lock) -> bool:
    """Whether more than one process trains the run."""
    return processes(lock) * lock.run.resources.nodes > 1


def is_worker() -> bool:
    """Whether torch's elastic agent started this process."""
    return RANK in os.environ and FOLDER in os.environ


def here(lock: Lock) -> World:
    """This pod's place.

    Raises:
        BadSpec: the run has several nodes and nothing says which one this is.
    """
    nodes = lock.run.resources.nodes
    if nodes == 1:
        return World(1, processes(lock), 0, None, 0)
    rank, address = os.environ.get(NODE_RANK, ""), os.environ.get(ADDRESS, "")
    if not rank.isdigit() or int(rank) >= nodes or not address:
        raise BadSpec(
            f"{NODE_RANK}={rank!r}, {ADDRESS}={address!r}; allowed: 0 to {nodes - 1} and the host name of node 0",
            "start the run as its JobSet does (base/training/v1/nodes); `ft run` has one machine only",
        )
    return World(nodes, processes(lock), int(rank), address, int(os.environ.get(PORT) or _DEFAULT_PORT))
