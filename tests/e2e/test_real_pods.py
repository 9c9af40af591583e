"""One experiment in real containers on a real node: committed, trained, interrupted, resumed, merged and registered.

It is interrupted by each of the ways in which a pod goes: somebody deletes it, its node is drained, its node is lost. Nothing in the
manifests is made for the test; `environments/dev.yaml` names the image, MLflow and the StorageClass.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.e2e import image, machine, node, platform_tree, real_site
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Manifest
from tests.e2e.containers import Process
from tests.e2e.mlflow_server import MLflow, tags
from tests.e2e.processes import wait_for
from tests.e2e.real_run import PATIENCE, RealRun, events, exit_code
from tests.e2e.real_site import FILES, GID, TENANT, UID, Site
from tests.e2e.scenario import Experiment
from tools.cluster.exits import end_of
from tools.formats.lock import Lock
from tools.repository import Repository

# Pulling the image takes minutes the first time, and so does importing LLaMA Factory from a cold disk, once for each of five pods.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

STEPS, CHECKPOINT = 16, 3  # max_steps and save_steps of exp-100.yaml


@pytest.fixture(scope="module")
def site(built: Cache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A platform with a real node."""
    try:
        machine.check()
        images = image.existing()
    except (machine.Unfit, image.NotBuilt) as reason:
        pytest.skip(f"no real pods: {reason}")
    with real_site.running(built, images, tmp_path_factory.mktemp("real-pods")) as site:
        yield site


@dataclass(frozen=True)
class Story:
    """A run that was interrupted three times, from its commit to its registered version."""

    experiment: Experiment
    lock: Lock
    inside: Process  # the first training pod's container
    refusals: str  # what it heard when it wrote outside its volumes
    deleted: Manifest  # the first training pod at its end
    drained: Manifest  # the second
    cordoned: dict[str, Any]  # `ft status` while no node takes the third
    lost: dict[str, Any]  # `ft status` after its node was lost
    logs: list[list[dict[str, Any]]]  # what each training pod said
    failures: int  # pods that count against the Job's backoff limit


@pytest.fixture(scope="module")
def story(site: Site) -> Story:
    """Commit the experiment, take its training pod away three times after a checkpoint, and wait until the sync has succeeded."""
    experiment = _commit(site)
    run = RealRun(site, experiment)
    lock = Repository(site.repository.work).lock(f"{experiment.folder}/run.yaml")
    pods = [run.running(experiment.training)]
    inside = site.containers.process(pods[0])
    forged = ("/app/forged", "/storage/data/forged", f"/storage/models/base-model/{lock.run.model.path}/forged")
    refusals = site.containers.run(pods[0], "touch", *forged).stderr

    logs = [_seen(run, pods[0], CHECKPOINT)]
    site.cluster.delete("Pod", pods[0]["metadata"]["name"], experiment.namespace)
    deleted = run.ended(pods[0])

    pods.append(run.running(experiment.training))
    logs.append(_seen(run, pods[1], 2 * CHECKPOINT))
    drained = run.drained(pods[1])
    cordoned = wait_for(lambda: _unschedulable(run), "a pod that no node takes")
    run.uncordon()

    pods.append(run.running(experiment.training))
    logs.append(_seen(run, pods[2], 3 * CHECKPOINT))
    site.node.lose()
    lost = run.becomes("lost-node")
    with run.out_of_service():
        wait_for(lambda: run.gone(pods[2]), "the end of the lost pod")

    pods.append(run.running(experiment.training))
    run.succeeds(pods[3])
    logs.append(events(site.containers.log(pods[3])))
    failures = experiment.started(experiment.training)["status"].get("failed", 0)
    run.succeeds(run.running(experiment.publishing))
    experiment.reaches("Succeeded")
    return Story(experiment, lock, inside, refusals, deleted, drained, cordoned, lost, logs, failures)


def _seen(run: RealRun, pod: Manifest, step: int) -> list[dict[str, Any]]:
    """What a pod has said until there is a checkpoint of this step or a later one."""
    run.saved(pod, step)
    return events(run.site.containers.log(pod))


def _unschedulable(run: RealRun) -> dict[str, Any] | None:
    """`ft status` once the scheduler has found no node for the next pod."""
    found = run.status()
    return found if "no node can take the pod" in str(found["reason"]) else None


def test_container_is_confined(story: Story) -> None:
    """Training runs as the tenant's user without capabilities, with system calls filtered and no way to gain rights."""
    status = story.inside.status
    assert set(status["Uid"].split()) == {str(UID)}
    assert set(status["Gid"].split()) == {str(GID)}
    assert status["CapEff"] == status["CapBnd"] == "0" * 16
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_only_its_own_volumes_are_writable(story: Story) -> None:
    """The container's root, the data and the base models are read-only; published models are out of training's reach."""
    mounts = story.inside.mounts
    for path in ("/", "/storage/data", "/storage/models/base-model", "/etc/llm-run"):
        assert "ro" in mounts[path], path
    assert "rw" in mounts["/storage/output"]
    assert not [path for path in mounts if path.startswith("/storage/models/merged-model")]
    assert story.refusals.count("Read-only file system") == 3


def test_deleted_pod_saves_and_asks_for_another(story: Story) -> None:
    """A deleted training pod ends with 75 within its grace period, and says why."""
    assert exit_code(story.deleted) == 75
    end = end_of(story.deleted)
    assert end is not None
    assert (end.code, "SIGTERM" in end.cause) == ("stopped", True)  # from the termination message that the kubelet kept


def test_drained_pod_saves_and_counts_for_nothing(story: Story) -> None:
    """`kubectl drain` evicts the pod: it ends with 75 and costs no retry, and `ft status` says what its successor waits for."""
    assert exit_code(story.drained) == 75
    end = end_of(story.drained)
    assert end is not None
    assert end.code == "drained"
    assert story.cordoned["phase"] == "resuming"
    assert "unschedulable" in story.cordoned["reason"]
    assert story.failures == 1  # the deleted one: neither the drained nor the lost one counts


def test_lost_node_is_recognised(story: Story) -> None:
    """`ft status` calls the node lost, names it and says what to do; what it says was done, and the run went on."""
    assert story.lost["phase"] == "resuming"
    assert node.NAME in story.lost["reason"]
    assert f"kubectl taint nodes {node.NAME} node.kubernetes.io/out-of-service=" in story.lost["remedy"]


def test_each_pod_goes_on_from_the_checkpoint_of_the_one_before(story: Story) -> None:
    """No pod starts anew: each resumes at or behind the checkpoint that was seen before its predecessor went."""
    resumed = [_resumed(log) for log in story.logs]
    assert resumed[0] is None
    assert all((step or 0) >= seen * CHECKPOINT for seen, step in enumerate(resumed[1:], start=1)), resumed
    assert all((before or 0) < (after or 0) for before, after in pairwise(resumed)), resumed
    (finish,) = [event for event in story.logs[-1] if event["event"] == "finish"]
    assert finish["steps"] == STEPS


def _resumed(log: list[dict[str, Any]]) -> int | None:
    """The step that a pod went on from."""
    steps = [int(event["checkpoint"].rpartition("-")[2]) for event in log if event["event"] == "resume"]
    return steps[0] if steps else None


def test_completion_proves_the_run(site: Site, story: Story) -> None:
    """completion.json proves all steps with the image that ran, and belongs to the tenant's user."""
    file = site.storage / "output" / "lora-adapter" / story.experiment.run_id / "completion.json"
    proof = json.loads(file.read_text(encoding="utf-8"))
    assert proof["run_sha256"] == story.lock.sha256
    assert (proof["steps_done"], proof["steps_planned"]) == (STEPS, STEPS)
    assert proof["image"] == f"{image.NAME}@{site.images.training}"
    assert (file.stat().st_uid, file.stat().st_gid) == (UID, GID)


def test_interrupted_run_is_one_mlflow_run(site: Site, story: Story) -> None:
    """All four training pods log to one MLflow run, each step once."""
    (run,) = site.mlflow.runs(TENANT)
    assert tags(run["data"])["run_sha256"] == story.lock.sha256
    assert run["info"]["status"] == "FINISHED"
    assert site.mlflow.steps(run, "loss") == list(range(1, STEPS + 1))


def test_model_is_merged_and_registered(site: Site, story: Story) -> None:
    """The merged model lies in its folder, and the registry's candidate is a version with the lock's tags that names it."""
    run = story.lock.run
    assert run.publish is not None
    assert story.lock.model_folder is not None
    folder = site.storage / "models" / "merged-model" / story.lock.model_folder
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in folder.iterdir()}
    name = run.publish.model_name
    version = site.mlflow.get("registered-models/alias", name=name, alias="candidate")["model_version"]
    assert version["source"] == f"pvc://{run.namespace}/storage/models/merged-model/{story.lock.model_folder}"
    found = tags(version)
    assert (found["run_id"], found["run_sha256"]) == (story.lock.run_id, story.lock.sha256)
    assert (found["tenant"], found["image"]) == (TENANT, run.image)
    assert found["dataset_sha256.customer-topics"] == run.datasets[0].sha256


def test_second_sync_trains_nothing(site: Site, story: Story) -> None:
    """Another sync leaves the training Job alone, and publishing again changes nothing."""
    experiment = story.experiment
    run = RealRun(site, experiment)
    before = experiment.started(experiment.training)["metadata"]["uid"]
    proof = _files(site.storage)
    published = experiment.started(experiment.publishing)["metadata"]["uid"]
    site.argocd.sync(experiment.application)
    _repeated(experiment, published)
    run.succeeds(run.running(experiment.publishing))
    experiment.reaches("Succeeded")
    assert experiment.started(experiment.training)["metadata"]["uid"] == before
    assert _files(site.storage) == proof
    versions = site.mlflow.get("registered-models/get", name=f"{TENANT}.real-pods")["registered_model"]
    assert [each["version"] for each in versions["latest_versions"]] == ["1"]


def test_mlflow_knows_tenants_apart(site: Site, story: Story) -> None:
    """What a run logs and registers belongs to its tenant's user: another tenant's may not read it, and nobody no more."""
    assert site.mlflow.runs(TENANT)
    other = site.mlflow.login("team-b")
    run = story.lock.run
    assert run.publish is not None
    for user, refusal in ((other, "403"), (MLflow(other.url, "nobody", ""), "401")):
        with pytest.raises(HTTPError, match=refusal):
            user.get("experiments/get-by-name", experiment_name=TENANT)
        with pytest.raises(HTTPError, match=refusal):
            user.get("registered-models/get", name=run.publish.model_name)


def test_without_its_credential_a_run_is_refused_clearly(site: Site, story: Story) -> None:
    """Without the tenant's Secret publishing ends with 75 and names the Secret; with it the same Job goes on by itself."""
    experiment, secret = story.experiment, site.credential["metadata"]
    run = RealRun(site, experiment)
    published = experiment.started(experiment.publishing)["metadata"]["uid"]
    site.cluster.delete("Secret", secret["name"], secret["namespace"])
    site.argocd.sync(experiment.application)
    _repeated(experiment, published)
    first = wait_for(lambda: run.pod(experiment.publishing), "a pod of the publish Job", PATIENCE)
    ended = run.ended(first)
    site.cluster.apply(site.credential)
    log = site.containers.log(first)
    assert exit_code(ended) == 75, log[-6000:]
    assert "refuses the login: no credential" in log
    assert "the Secret mlflow-credentials" in log
    experiment.reaches("Succeeded")


def _commit(site: Site) -> Experiment:
    """What the merge request and the bot do: the file is validated, expanded and pushed, and Argo CD hears of it."""
    platform = site.repository.work
    experiment = Experiment(site.cluster, site.argocd, site.repository, TENANT, "exp-100")
    file = platform / "experiments" / TENANT / "exp-100.yaml"
    shutil.copyfile(FILES / file.name, file)
    real_site.validate(platform)
    platform_tree.expand(platform, str(file))
    experiment.run_id, experiment.attempt = platform_tree.locked(platform, TENANT, "exp-100")
    experiment.push("team-a.exp-100: authorize")
    return experiment


def _repeated(experiment: Experiment, published: str) -> None:
    """Wait for another publish Job than that of a UID."""

    def look() -> bool:
        job = experiment.job(experiment.publishing)
        return job is not None and job["metadata"]["uid"] != published

    wait_for(look, "another publish Job")


def _files(storage: Path) -> dict[str, int]:
    """Results and published models with the time of their last change."""
    folders = (storage / "output" / "lora-adapter", storage / "models" / "merged-model")
    return {str(file): file.stat().st_mtime_ns for folder in folders for file in folder.rglob("*") if file.is_file()}
