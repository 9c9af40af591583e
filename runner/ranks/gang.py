"""What ranks tell each other beside their collectives: key and value in the store of torch's elastic agent."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cache
from pathlib import Path

from torch.distributed import PrefixStore, TCPStore

from runner.ranks.world import FOLDER

# Importing LLaMA Factory, reading a base model over NFS: what rank 0 may do before it has an answer.
_PATIENCE = timedelta(minutes=30)


class Gang:
    """One rank's end of the store; `rank` counts over all nodes."""

    def __init__(self, rank: int, store: PrefixStore) -> None:
        self.rank = rank
        self._store = store

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def tell(self, key: str, value: str) -> None:
        """Set a value for every rank."""
        self._store.set(key, value)

    def ask(self, key: str) -> str:
        """Wait for a value.

        Raises:
            torch.distributed.DistError: nobody set it in half an hour, or the store is gone.
        """
        self._store.wait([key], _PATIENCE)
        value: bytes = self._store.get(key)
        return value.decode()


@cache
def mine() -> Gang:
    """This worker's end; made once, in a process that torch's elastic agent started."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), size, is_master=False)
    return Gang(rank, PrefixStore("runner", store))


def shared_folder() -> Path:
    """Scratch folder of all ranks of a pod, so that rows are tokenised once."""
    return Path(os.environ[FOLDER])
