"""`ft watch`: changes as lines, pictures in place, outages waited for, and an end."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from tests.unit.cluster.conftest import Scene
from tests.unit.cluster.standin import StandIn
from tools.cli import main
from tools.cluster import targets
from tools.cluster.client import Cluster
from tools.cluster.look import Look, look
from tools.cluster.screen import Screen
from tools.cluster.watching import LONGEST_SECONDS, SECONDS, Glance, glances
from tools.repository import Repository


def taking(scene: Scene) -> Callable[[], Look]:
    """What `ft watch team-a/plain` does for each look."""
    runs = targets.resolve(Repository(scene.platform), "team-a/plain", None)
    cluster = Cluster.connect(scene.kubeconfig)
    return lambda: look(runs, cluster, scene.mlflow.url)


class Story:
    """What happens to the cluster in the pauses between looks, one step a pause."""

    def __init__(self, *steps: Callable[[], Any]) -> None:
        self._steps = list(steps)
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        """Note the pause and let the next thing happen."""
        self.pauses.append(seconds)
        self._steps.pop(0)()


def replace(api: StandIn, scene: Scene, scenario: str) -> None:
    """The cluster moves on to another situation."""
    api.objects.clear()
    scene.happens(scenario)


def test_it_ends_when_the_run_has_finished(scene: Scene) -> None:
    """Looks go on from phase to phase and stop at the last one."""
    steps = [
        lambda name=name: replace(scene.api, scene, name) for name in ("quota", "running", "publishing", "finished")
    ]
    found = [glance.look.statuses[0].verdict.phase for glance in glances(taking(scene), pause=Story(*steps).pause)]
    assert found == ["waiting-for-argo", "queued", "running", "publishing", "finished"]


def test_a_failed_run_ends_it_with_one(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """The command's exit code is that of `ft status`."""
    scene.happens("out-of-memory")
    assert main(["watch", "team-a/plain", *scene.options()]) == 1
    assert "team-a/plain: failed; training failed" in capsys.readouterr().out


def test_an_outage_is_waited_for_with_longer_pauses(scene: Scene) -> None:
    """While the server is away the last known phase stays, since when is said, and pauses grow up to a limit."""
    scene.happens("running")

    def gone() -> None:
        scene.api.status = 503

    def back() -> None:
        scene.api.status = 0
        replace(scene.api, scene, "finished")

    story = Story(gone, *([lambda: None] * 5), back)
    found = list(glances(taking(scene), pause=story.pause))
    phases = [glance.look.statuses[0].verdict.phase for glance in found]
    assert phases == ["running"] * 7 + ["finished"]
    assert [glance.away_since is not None for glance in found] == [False, *([True] * 6), False]
    assert story.pauses[0] == SECONDS
    assert story.pauses[1:] == sorted(story.pauses[1:])
    assert story.pauses[-1] == LONGEST_SECONDS


def test_without_a_terminal_only_changes_are_lines(scene: Scene) -> None:
    """The same look twice is said once; an outage and its end are said once each."""
    scene.happens("quota")
    take = taking(scene)
    stream = io.StringIO()
    with Screen(Console(file=stream, width=400, soft_wrap=True)) as screen:
        first = take()
        away = Look(first.statuses, unreachable="https://cluster.example does not answer: timed out")
        for glance in (
            Glance(first, None),
            Glance(first, None),
            Glance(away, 1.0),
            Glance(away, 1.0),
            Glance(first, None),
        ):
            screen.show(glance)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert "team-a/plain: queued; the tenant's quota finetuning is used up" in lines[0]
    assert "cluster unreachable since" in lines[1]
    assert "timed out" in lines[1]
    assert lines[2].endswith("the cluster answers again")


def test_a_terminal_gets_a_picture_in_place(scene: Scene) -> None:
    """Phase, reason and remedy stand in a table that is drawn again, and the cursor comes back at the end."""
    scene.happens("no-node")
    stream = io.StringIO()
    with Screen(Console(file=stream, force_terminal=True, width=160, height=40)) as screen:
        screen.show(Glance(taking(scene)(), None))
        screen.show(Glance(taking(scene)(), 1.0))
    out = stream.getvalue()
    assert "pending" in out
    assert "Insufficient nvidia.com/gpu" in out
    assert "cluster unreachable since" in out
    assert out.rindex("\x1b[?25h") > out.rindex("\x1b[?25l")


def test_several_runs_are_watched_side_by_side(scene: Scene) -> None:
    """Each run of an environment has its own line with its own phase, and watching goes on until the last one has ended."""
    runs = targets.resolve(Repository(scene.platform), None, "dev")
    cluster = Cluster.connect(scene.kubeconfig)
    scene.happens("out-of-memory")
    stream = io.StringIO()
    found = look(runs, cluster, scene.mlflow.url)
    with Screen(Console(file=stream, force_terminal=True, width=160, height=40)) as screen:
        screen.show(Glance(found, None))
    phases = {status.seen.run.title: status.verdict.phase for status in found.statuses}
    assert phases.pop("team-a/plain") == "failed"
    assert len(phases) >= 2
    assert set(phases.values()) == {"waiting-for-argo"}
    assert all(name in stream.getvalue() for name in ("team-a/plain", *phases))
    seen = glances(lambda: found, pause=lambda _: None)
    assert [next(seen).look for _ in range(3)] == [found] * 3


def test_interrupting_it_leaves_no_traceback(scene: Scene) -> None:
    """^C ends the command with 130 and one line; the run is none of its business."""
    scene.happens("running")
    # Whoever runs the tests in the background has SIGINT ignored, and children inherit that.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heard}; from tools.cli import entry_point; entry_point()"
    command = [sys.executable, "-c", program, "watch", "team-a/plain", *scene.options()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "running" in process.stdout.readline()
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert errors == "ft watch: interrupted\n"
