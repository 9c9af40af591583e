"""The job `register`: lock, registry and completion manifest against each other."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ci.registered import differences, main
from runner.completion import Completion
from runner.provenance import tags
from runner.registry import PROOF_TAG, proof
from tests.unit.ci.bot_answers import answering
from tests.unit.ci.conftest import ROOT, Checkout
from tools.formats.lock import Authorized, Lock, seal
from tools.formats.model import File
from tools.repository import Repository

OVERLAY = "overlays/dev/team-a/exp-001"


@pytest.fixture(scope="module")
def lock() -> Lock:
    """The demo's lock, as the bot would have authorized it."""
    found = Repository(ROOT).lock(f"{OVERLAY}/run.yaml")
    return authorized(found)


def authorized(lock: Lock) -> Lock:
    """The same run with an authorization."""
    given = Authorized(at="2026-11-23T08:15:00Z", commit="c" * 40, merge_request=12, approvers=["maria.wisniewska"])
    return seal(lock.run, attempt=1, state="active", authorized=given)


def completion(lock: Lock, **changed: Any) -> dict[str, Any]:
    """What the version's tag holds of the manifest that the runner writes for this lock."""
    manifest = Completion(
        version=1,
        run_id=lock.run_id,
        run_sha256=lock.sha256,
        attempt=1,
        steps_done=80,
        steps_planned=80,
        rows_expected=400,
        rows_trained=320,
        metrics={"train_loss": 0.1},
        training_seconds=60.0,
        started_at="2026-11-23T08:00:00Z",
        finished_at="2026-11-23T08:01:00Z",
        files={"adapter_model.safetensors": File(sha256="f" * 64, size=10)},
        versions={"torch": "2.11.0"},
        datasets={dataset.name: dataset.sha256 for dataset in lock.run.datasets},
        image=lock.run.image,
        git_commit="c" * 40,
        mlflow_run_id=None,
    )
    found: dict[str, Any] = json.loads(proof(manifest)[PROOF_TAG])
    return {**found, **changed}


def model(lock: Lock, **changed: str) -> dict[str, Any]:
    """The registered version with the runner's own tags."""
    return {"name": "team-a.topic-sorter", "version": 3, "tags": {**tags(lock), **changed}}


def test_what_the_runner_registers_agrees(lock: Lock) -> None:
    """The tags and the manifest that the runner writes for a lock are those that the job demands."""
    assert list(differences(lock, lock.sha256, model(lock), completion(lock))) == []


@pytest.mark.parametrize(
    "tag", ["run_sha256", "image", "git_commit", "approvers", "merge_request", "base_model_revision"]
)
def test_a_tag_that_differs_is_named(tag: str, lock: Lock) -> None:
    """Every tag that follows from the lock is compared."""
    (said,) = differences(lock, lock.sha256, model(lock, **{tag: "another"}), completion(lock))
    assert said.startswith(f"tag {tag} is another, the lock says ")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"run_sha256": "b" * 64}, "run_sha256"),
        ({"image": "registry.example/other@sha256:0"}, "image"),
        ({"datasets": {}}, "datasets"),
        ({"git_commit": "d" * 40}, "git_commit"),
        ({"steps_done": 79}, "79 of 80 steps done"),
    ],
)
def test_a_manifest_of_something_else_is_named(changed: dict[str, Any], words: str, lock: Lock) -> None:
    """The completion manifest must be of this run, image and data, and of all its steps."""
    (said,) = differences(lock, lock.sha256, model(lock), completion(lock, **changed))
    assert said.startswith("completion manifest: ")
    assert words in said


def test_an_earlier_attempts_result_may_have_another_commit(lock: Lock) -> None:
    """A run that finished in its first attempt and was published in its second keeps the first's commit."""
    second = seal(lock.run, attempt=2, state="active", authorized=lock.authorized)
    assert list(differences(second, lock.sha256, model(second), completion(lock, git_commit="d" * 40))) == []


def test_another_run_model_or_no_proof_is_named(lock: Lock) -> None:
    """The hash, the registered name and the proof itself are compared first."""
    found = {**model(lock), "name": "team-b.topic-sorter"}
    said = list(differences(lock, "e" * 64, found, None))
    assert [line.split()[0] for line in said] == ["the", "registered", "there"]


@pytest.fixture
def deployed(checkout: Checkout, tmp_path: Path, lock: Lock) -> Path:
    """A clone whose origin has the authorized lock on deployed/dev; the reports' folder with one registered run."""
    from tools.expand import overlay

    for name, content in overlay.files(lock).items():
        (checkout.root / OVERLAY / name).write_bytes(content)
    checkout.git("checkout", "--quiet", "-b", "deployed/dev")
    checkout.commit({})
    checkout.git("checkout", "--quiet", "main")
    subprocess.run(["git", "clone", "--quiet", str(checkout.root), str(tmp_path / "clone")], check=True)
    reports = tmp_path / "reports"
    reports.mkdir()
    run = {
        "run_id": lock.run_id,
        "sha256": lock.sha256,
        "environment": "dev",
        "experiment": "experiments/team-a/exp-001.yaml",
        "state": "registered",
    }
    (reports / "runs.json").write_text(json.dumps([run]))
    return reports


@pytest.mark.parametrize(("image", "code"), [(None, 0), ("registry.example/other@sha256:0", 1)])
def test_the_job_reads_the_lock_from_the_signed_branch(
    image: str | None, code: int, deployed: Path, lock: Lock, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The lock of deployed/<env> decides; a version whose tags differ fails the job with what to do."""
    monkeypatch.chdir(deployed.parent / "clone")
    monkeypatch.setenv("BOT_ID_TOKEN", "token")
    found = {
        "state": "registered",
        "model": model(lock, **({"image": image} if image else {})),
        "completion": completion(lock),
    }
    with answering({f"/runs/{lock.sha256}": [(200, found)]}) as server:
        monkeypatch.setenv("BOT_URL", server.url)
        assert main(["--reports", str(deployed)]) == code
    said = capsys.readouterr().out
    assert ("agrees with its lock" in said) == (code == 0)
    assert ("do not serve this version" in said) == (code == 1)
    (result,) = json.loads((deployed / "registered.json").read_text()).values()
    assert bool(result["differences"]) == bool(code)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"environment": "no-such"}, 3),
        ({"experiment": "experiments/team-a/../../x.yaml"}, 2),
        ({"environment": "--upload-pack=touch"}, 2),
        ({"state": "cancelled"}, 0),
    ],
)
def test_what_cannot_be_compared_is_said(
    changed: dict[str, str], code: int, deployed: Path, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch that is not there, names that are none, and a run that registers nothing each end in their own way."""
    (run,) = json.loads((deployed / "runs.json").read_text())
    (deployed / "runs.json").write_text(json.dumps([{**run, **changed}]))
    monkeypatch.chdir(deployed.parent / "clone")
    monkeypatch.setenv("BOT_ID_TOKEN", "token")
    found = {"state": "registered", "model": model(lock), "completion": completion(lock)}
    with answering({f"/runs/{lock.sha256}": [(200, found)]}) as server:
        monkeypatch.setenv("BOT_URL", server.url)
        assert main(["--reports", str(deployed)]) == code
