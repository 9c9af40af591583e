"""`ft status` against stand-ins: one fixture file of cluster objects = one situation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cluster.conftest import SCENARIOS, Scene
from tests.unit.cluster.standin import kubeconfig
from tools.cli import main
from tools.cluster.phases import PHASES

# fixture: phase, parts of the reason, part of the remedy
SITUATIONS = {
    "not-applied": ("waiting-for-argo", ["has not applied overlays/dev/team-a/plain yet"], ""),
    "unsigned": ("waiting-for-argo", ["is not signed"], "only commits of the bot's key"),
    "denied": ("waiting-for-argo", ["policy finetuning-gpus refuses it: nvidia.com/gpu: 16; allowed: 8"], "ft doctor"),
    "job-quota": ("waiting-for-argo", ["count/jobs.batch: asks for 1, 20 of 20 in use"], "argocd app sync"),
    "quota": (
        "queued",
        ["the tenant's quota finetuning is used up", "requests.nvidia.com/gpu: asks for 1, 8 of 8 in use"],
        "starts by itself when another run of the tenant ends",
    ),
    "kueue-pending": ("queued", ["position 3 of 3 in the queue", "1 more needed"], "in its turn"),
    "kueue-evicted": ("queued", ["evicted (Preempted)", "higher priority"], "in its turn"),
    "kueue-deactivated": ("failed", ["DeactivatedByKueue", "maximum execution time"], ""),
    "just-created": ("pending", ["about to be created"], ""),
    "pod-refused": ("pending", ["refuses it", "PodSecurity"], "ft doctor cluster"),
    "no-node": ("pending", ["no node can take the pod", "Insufficient nvidia.com/gpu"], "when GPUs come free"),
    "no-image": ("pending", ["cannot fetch the image", "ImagePullBackOff"], "environments/"),
    "no-mount": ("pending", ["does not mount on gpu-1", "access denied"], "ft doctor cluster"),
    "running": ("running", [], ""),
    "resuming": ("resuming", ["exit code 75: interrupted, its checkpoint saved", "no node"], "drained"),
    "lost-node": ("resuming", ["is ending on gpu-1"], "out-of-service"),
    "publishing": ("publishing", [], ""),
    "never-published": ("publishing", ["nothing will start it by itself"], "argocd app sync team-a.plain"),
    "finished": ("finished", [], ""),
    "out-of-memory": ("failed", ["training failed: PodFailurePolicy, exit code 4: out of memory"], "ft plan"),
    "diverged": ("failed", ["exit code 6", "the loss is nan at step 40"], "a lower learning_rate"),
    "killed-by-memory-limit": (
        "failed",
        ["exit code 137: killed: the container reached its memory limit"],
        "dataloader",
    ),
    "killed-by-quota": ("failed", ["more local disk than it may", "exceeds the total limit"], "attempt"),
    "unreadable-words": ("failed", ["exit code 1: the runner failed unexpectedly"], "traceback"),
    "node-not-ready": ("resuming", ["node gpu-1 of pod", "does not answer"], "out-of-service"),
    "publish-failed": ("failed", ["publishing failed: DeadlineExceeded"], "deadline"),
}


def status(scene: Scene, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON of `ft status`."""
    code = main(["status", *arguments, *scene.options(), "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", SITUATIONS)
def test_each_situation_has_its_phase_and_reason(name: str, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """The phase, why the run is in it, and what to do, follow from the cluster's objects; 1 only when a run failed."""
    phase, reasons, remedy = SITUATIONS[name]
    scene.api.answers["/apis/kueue.x-k8s.io"] = {"preferredVersion": {"version": "v1beta1"}}
    scene.happens(name)
    code, data = status(scene, capsys, "team-a/plain")
    (run,) = data["runs"]
    assert run["phase"] == phase
    assert [part for part in reasons if part not in run["reason"]] == [], run["reason"]
    assert remedy in run["remedy"]
    assert code == (1 if phase == "failed" else 0)


CAUSES = {
    "out-of-memory": "out-of-memory",
    "diverged": "nan-loss",
    "killed-by-memory-limit": "killed-by-memory-limit",
    "killed-by-quota": "killed-by-quota",
    "unreadable-words": "unexpected",
    "node-not-ready": "lost-node",
    "resuming": "interrupted",
    "running": None,
}


@pytest.mark.parametrize("name", CAUSES)
def test_each_end_has_the_code_of_its_cause(name: str, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """One code of the documented list, from the runner's last words, the pod's status or the exit code."""
    scene.happens(name)
    _, data = status(scene, capsys, "team-a/plain")
    assert data["runs"][0]["cause"] == CAUSES[name]


def test_every_fixture_is_a_situation() -> None:
    """No fixture file is left without a test, and only known phases are expected."""
    assert {path.stem for path in SCENARIOS.glob("*.yaml")} == set(SITUATIONS)
    assert {phase for phase, _, _ in SITUATIONS.values()} <= set(PHASES)


@pytest.mark.parametrize("name", [*SITUATIONS, None])
def test_people_read_the_same(name: str | None, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """The text names experiment, phase and reason, in lines of no more than the messages' own length."""
    if name is not None:
        scene.happens(name)
    main(["status", "experiments/team-a/plain.yaml", *scene.options()])
    text = capsys.readouterr().out
    main(["status", "team-a/plain", *scene.options(), "--format", "json"])
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert text.startswith(f"team-a/plain in dev: {run['phase']}\n")
    assert run["reason"] in text
    assert run["remedy"] in text


def test_kueues_own_position_comes_first(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the visibility API answers, the position is Kueue's, counted from 1."""
    scene.api.answers["/apis/kueue.x-k8s.io"] = {"preferredVersion": {"version": "v1beta1"}}
    scene.api.answers["/apis/visibility.kueue.x-k8s.io"] = {"preferredVersion": {"version": "v1beta1"}}
    path = "/apis/visibility.kueue.x-k8s.io/v1beta1/namespaces/team-a-training/localqueues/finetuning/pendingworkloads"
    items = [{"metadata": {"name": name}, "positionInLocalQueue": at} for at, name in enumerate(["job-run-a1", "x"])]
    scene.api.answers[path] = {"items": items}
    scene.happens("kueue-pending")
    _, data = status(scene, capsys, "team-a/plain")
    (run,) = data["runs"]
    assert (run["workload"]["position"], run["workload"]["waiting"], run["workload"]["position_from"]) == (
        1,
        2,
        "kueue",
    )


def test_without_an_overlay_a_run_is_not_authorized(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An experiment that nobody approved needs no cluster to say so."""
    platform = tmp_path / "platform"
    shutil.copytree(scene.platform, platform)
    shutil.rmtree(platform / "overlays/dev/team-a/plain")
    code = main(["status", "team-a/plain", "--repo", str(platform), *scene.options()[2:]])
    assert code == 0
    assert "not-authorized" in capsys.readouterr().out


def test_an_adapter_is_finished_when_training_is(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """A run without `publish` waits for no publish Job."""
    scene.happens("never-published", "adapter-only")
    _, data = status(scene, capsys, "team-a/adapter-only")
    assert data["runs"][0]["phase"] == "finished"


def test_a_tenant_shows_all_its_runs(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """A tenant's name means its default environment's runs, each with its own phase."""
    scene.happens("running")
    code, data = status(scene, capsys, "team-a")
    assert code == 0
    phases = {run["experiment"]: run["phase"] for run in data["runs"]}
    assert phases == {"plain": "running", "adapter-only": "waiting-for-argo"}
    main(["status", "team-a", *scene.options()])
    text = capsys.readouterr().out
    assert text.splitlines()[0].split() == ["experiment", "run", "phase", "progress"]


@pytest.mark.parametrize("target", ["nobody", "team-a/nothing", "experiments/team-a/nothing.yaml", "plain-00000000"])
def test_an_unknown_target_is_wrong_usage(target: str, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """What git does not know ends with 2 and says so."""
    assert main(["status", target, *scene.options()]) == 2
    assert capsys.readouterr().err.startswith("ft status: ")


def test_no_target_needs_an_environment(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """With two environments the command does not guess."""
    assert main(["status", *scene.options()]) == 2
    assert "--env dev|prod" in capsys.readouterr().err
    assert main(["status", "--env", "dev", *scene.options()]) == 0
    assert main(["status", "--env", "moon", *scene.options()]) == 2


def test_a_server_that_is_gone_leaves_git_and_mlflow(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 3, the reason on top, and what git knows below."""
    options = scene.options()
    options[options.index("--kubeconfig") + 1] = str(kubeconfig(tmp_path, "http://127.0.0.1:9"))
    assert main(["status", "team-a/plain", *options]) == 3
    text = capsys.readouterr().out
    assert "http://127.0.0.1:9 does not answer: " in text.splitlines()[0]
    assert scene.lock().run_id in text
    assert "unknown" in text


def test_a_login_that_is_not_accepted_is_no_empty_cluster(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """401 means that nothing is known, not that there is no Job."""
    scene.api.status = 401
    code, data = status(scene, capsys, "team-a/plain")
    assert (code, data["runs"][0]["phase"]) == (3, "unknown")
    assert "log in again" in data["cluster"]["unreachable"]


def test_what_a_tenant_may_not_read_is_a_note(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Applications belong to the platform; without them the Jobs still tell the phase."""
    scene.api.refused.add("/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/team-a.plain")
    scene.happens("running")
    code, data = status(scene, capsys, "team-a/plain")
    assert (code, data["runs"][0]["phase"]) == (0, "running")
    assert any("Argo CD's Applications cannot be read" in note for note in data["notes"])


def test_unreadable_jobs_are_not_missing_jobs(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever may not list Jobs learns that, not that Argo CD is late."""
    scene.api.refused.add("/apis/batch/v1/namespaces/team-a-training/jobs")
    _, data = status(scene, capsys, "team-a/plain")
    assert data["runs"][0]["phase"] == "unknown"
    assert any("the Jobs of namespace team-a-training" in note for note in data["notes"])


def test_another_environments_cluster_is_refused(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Namespaces have the same names in every cluster: the wrong context must not look like an answer."""
    scene.api.answers["/api/v1/namespaces/team-a-training/configmaps/tenant-limits"] = {"data": {"environment": "prod"}}
    assert main(["status", "team-a/plain", *scene.options()]) == 2
    assert "--context" in capsys.readouterr().err
