"""What `python -m runner train` is for a run of several processes: torch's elastic agent, in this process.

The agent's own answer to SIGTERM kills workers after 30 seconds, in the middle of a checkpoint; so the signal stays with the
runner, which hands it on. Workers are in sessions of their own: `tini -g` reaches this process only.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import yaml

from runner import failures
from runner.events import message
from runner.exits import DONE
from runner.ranks import notes, world
from runner.ranks.notes import Note
from runner.ranks.world import World
from runner.signals import Termination, stopped
from runner.storage import Paths, scratch_folder

_WORKER = "runner.ranks.worker"
# Pods of a gang start minutes apart where a node has to pull the image first.
_MEETING_SECONDS = 1800
_MOST_THREADS = 8


def run(paths: Paths) -> int:
    """Start this pod's ranks, wait for their end and report the failure that says most; the exit code.

    Raises:
        BadSpec: the run has several nodes and nothing says which one this is.
    """
    place = world.here(paths.lock)
    try:
        note = _supervise(paths, place)
    except Termination:
        note = Note(stopped(None), owner=False)
    except Exception as error:  # noqa: BLE001 - the agent's own: a port, a name that does not resolve
        failure = notes.lost(error) or failures.explain(error, paths)
        failures.report(failure, error, None)
        return failure.exit_code
    if note is None:
        return DONE
    folder = paths.checkpoints if note.owner and paths.checkpoints.is_dir() else None
    failures.report(note.failure, note.failure, folder)
    return note.failure.exit_code


def _supervise(paths: Paths, place: World) -> Note | None:
    with scratch_folder() as scratch, _inherited(_surroundings(place, scratch)), _handed_on():
        lock = scratch / "run.yaml"
        lock.write_text(yaml.safe_dump(paths.lock.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
        message(f"{place.each} ranks on node {place.node} of {place.nodes}")
        codes = _launch(paths, place, ["-m", _WORKER, "--lock", str(lock), "--storage", str(paths.storage)])
        return notes.decisive(notes.read(scratch), codes) if codes else None


def _launch(paths: Paths, place: World, command: list[str]) -> Mapping[int, int]:
    """Run the agent; rank -> exit status of the ranks that it saw fail, empty when all ended well."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    try:
        elastic_launch(_configuration(paths, place), sys.executable)(*command)
    except ChildFailedError as error:
        return {rank: failure.exitcode for rank, failure in error.failures.items()}
    return {}


def _configuration(paths: Paths, place: World) -> Any:
    from torch.distributed.launcher.api import LaunchConfig

    meeting: dict[str, Any] = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "local_addr": "127.0.0.1"}
    settings: dict[str, Any] = {"timeout": _MEETING_SECONDS}
    if place.address is not None:
        meeting = {"rdzv_backend": "static", "rdzv_endpoint": f"{place.address}:{place.port}"}
        settings["rank"] = place.node
    return LaunchConfig(
        min_nodes=place.nodes,
        max_nodes=place.nodes,
        nproc_per_node=place.each,
        run_id=paths.lock.run_id,
        role="trainer",
        max_restarts=0,  # the Job or JobSet starts again, with a limit of its own
        signals_to_handle="SIGQUIT",
        rdzv_configs=settings,
        **meeting,
    )


def _surroundings(place: World, scratch: Path) -> dict[str, str]:
    """What workers inherit; a setting of the container goes before the platform's."""
    threads = max(1, min(_MOST_THREADS, len(os.sched_getaffinity(0)) // place.each))
    chosen = {"OMP_NUM_THREADS": str(threads)}
    if place.address is None:
        chosen["GLOO_SOCKET_IFNAME"] = "lo"  # the pod's own name may not resolve
    return {**{name: os.environ.get(name, value) for name, value in chosen.items()}, world.FOLDER: str(scratch)}


@contextmanager
def _inherited(variables: Mapping[str, str]) -> Iterator[None]:
    """The agent gives its ranks this process's environment."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _handed_on() -> Iterator[None]:
    """SIGTERM goes to every rank; they leave at the same step, and the agent then ends."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        del number, frame
        ranks = [process for process in psutil.Process().children() if _is_rank(process)]
        if not ranks:
            raise Termination
        for process in ranks:
            process.send_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_rank(process: psutil.Process) -> bool:
    try:
        return _WORKER in process.cmdline()
    except psutil.Error:
        return False  # it ended meanwhile
