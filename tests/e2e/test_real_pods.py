"""One experiment in real containers on a real node: committed, trained, interrupted, resumed, merged and registered.

Nothing in the manifests is made for the test; `environments/dev.yaml` names the image, MLflow and the StorageClass.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.e2e import image, machine, platform_tree, real_site
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Manifest
from tests.e2e.containers import Process
from tests.e2e.mlflow_server import MLflow, tags
from tests.e2e.processes import wait_for
from tests.e2e.real_site import FILES, GID, TENANT, UID, Site
from tests.e2e.scenario import Experiment
from tools.cluster.exits import end_of
from tools.formats.lock import Lock
from tools.repository import Repository

# Pulling the image takes minutes the first time, and so does importing LLaMA Factory from a cold disk.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

STEPS, CHECKPOINT = 10, 3  # max_steps and save_steps of exp-100.yaml
PATIENCE = 900  # seconds for a Job on a busy machine


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
    """A run that was interrupted once, from its commit to its registered version."""

    experiment: Experiment
    lock: Lock
    inside: Process  # the first training pod's container
    refusals: str  # what it heard when it wrote outside its volumes
    interrupted: Manifest  # the first training pod at its end
    resumed: list[dict[str, Any]]  # what the second training pod said


@pytest.fixture(scope="module")
def story(site: Site) -> Story:
    """Commit the experiment, delete its training pod after a checkpoint, and wait until the sync has succeeded."""
    experiment = _commit(site)
    lock = Repository(site.repository.work).lock(f"{experiment.folder}/run.yaml")
    first = _running(site, experiment, experiment.training)
    inside = site.containers.process(first)
    forged = ("/app/forged", "/storage/data/forged", f"/storage/models/base-model/{lock.run.model.path}/forged")
    refusals = site.containers.run(first, "touch", *forged).stderr
    checkpoint = site.storage / "output" / "checkpoints" / experiment.run_id / f"checkpoint-{CHECKPOINT}"
    wait_for(lambda: checkpoint.exists() or _ended(site, first), "a checkpoint", PATIENCE)
    site.cluster.delete("Pod", first["metadata"]["name"], experiment.namespace)
    interrupted = wait_for(lambda: _ended(site, first), "the end of the deleted pod", PATIENCE)
    second = _running(site, experiment, experiment.training)
    _succeeds(site, second)
    resumed = _events(site.containers.log(second))
    _succeeds(site, _running(site, experiment, experiment.publishing))
    experiment.reaches("Succeeded")
    return Story(experiment, lock, inside, refusals, interrupted, resumed)


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
    """A deleted training pod ends with 75 within its grace period, and the Job's next pod goes on from its checkpoint."""
    assert _exit_code(story.interrupted) == 75
    end = end_of(story.interrupted)
    assert end is not None
    assert (end.code, "SIGTERM" in end.cause) == ("stopped", True)  # from the termination message that the kubelet kept
    (resume,) = [event for event in story.resumed if event["event"] == "resume"]
    assert int(resume["checkpoint"].rpartition("-")[2]) >= CHECKPOINT
    (finish,) = [event for event in story.resumed if event["event"] == "finish"]
    assert finish["steps"] == STEPS


def test_completion_proves_the_run(site: Site, story: Story) -> None:
    """completion.json proves all steps with the image that ran, and belongs to the tenant's user."""
    file = site.storage / "output" / "lora-adapter" / story.experiment.run_id / "completion.json"
    proof = json.loads(file.read_text(encoding="utf-8"))
    assert proof["run_sha256"] == story.lock.sha256
    assert (proof["steps_done"], proof["steps_planned"]) == (STEPS, STEPS)
    assert proof["image"] == f"{image.NAME}@{site.images.training}"
    assert (file.stat().st_uid, file.stat().st_gid) == (UID, GID)


def test_interrupted_run_is_one_mlflow_run(site: Site, story: Story) -> None:
    """Both training pods log to one MLflow run, each step once."""
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
    before = experiment.started(experiment.training)["metadata"]["uid"]
    proof = _files(site.storage)
    published = experiment.started(experiment.publishing)["metadata"]["uid"]
    site.argocd.sync(experiment.application)
    _repeated(experiment, published)
    _succeeds(site, _running(site, experiment, experiment.publishing))
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
    published = experiment.started(experiment.publishing)["metadata"]["uid"]
    site.cluster.delete("Secret", secret["name"], secret["namespace"])
    site.argocd.sync(experiment.application)
    _repeated(experiment, published)
    first = wait_for(lambda: _pod(site, experiment, experiment.publishing), "a pod of the publish Job", PATIENCE)
    ended = wait_for(lambda: _ended(site, first), "the end of the refused pod", PATIENCE)
    site.cluster.apply(site.credential)
    log = site.containers.log(first)
    assert _exit_code(ended) == 75, log[-6000:]
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


def _running(site: Site, experiment: Experiment, job: str) -> Manifest:
    """Wait until a pod of the Job has a running container, and return it."""

    def look() -> Manifest | None:
        pod = _pod(site, experiment, job)
        return pod if pod and "running" in _state(pod) else None

    experiment.started(job)
    return wait_for(look, f"a running pod of {job}", PATIENCE)


def _pod(site: Site, experiment: Experiment, job: str) -> Manifest | None:
    """A pod of the Job whose container has not ended, if there is one."""
    pods = site.cluster.list("Pod", experiment.namespace, f"batch.kubernetes.io/job-name={job}")
    alive = [pod for pod in pods if "terminated" not in _state(pod) and "deletionTimestamp" not in pod["metadata"]]
    return alive[0] if alive else None


def _succeeds(site: Site, pod: Manifest) -> None:
    """Wait until a pod has ended, and it must have ended well."""
    ended = wait_for(lambda: _ended(site, pod), f"the end of {pod['metadata']['name']}", PATIENCE)
    assert _exit_code(ended) == 0, site.containers.log(pod)[-6000:]


def _ended(site: Site, pod: Manifest) -> Manifest | None:
    """The pod once its container has ended."""
    now = site.cluster.get("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
    assert now is not None, f"{pod['metadata']['name']} is gone, and nobody saw it end"
    return now if "terminated" in _state(now) else None


def _state(pod: Manifest) -> dict[str, Any]:
    """State of a pod's only container: `waiting`, `running` or `terminated`; empty before the kubelet has seen it."""
    states = [each["state"] for each in pod["status"].get("containerStatuses", [])]
    return states[0] if states else {}


def _exit_code(pod: Manifest) -> int:
    return int(_state(pod)["terminated"]["exitCode"])


def _events(log: str) -> list[dict[str, Any]]:
    """The runner's JSON lines in a container's log, whose every line begins with time, stream and F."""
    lines = [line.split(" ", 3)[3] for line in log.splitlines() if line.count(" ") >= 3]
    return [json.loads(line) for line in lines if line.startswith('{"event"')]


def _files(storage: Path) -> dict[str, int]:
    """Results and published models with the time of their last change."""
    folders = (storage / "output" / "lora-adapter", storage / "models" / "merged-model")
    return {str(file): file.stat().st_mtime_ns for folder in folders for file in folder.rglob("*") if file.is_file()}
