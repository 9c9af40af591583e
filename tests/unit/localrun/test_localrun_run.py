"""`ft run` and `ft publish` with a program in the place of the runner's Python that says what it was given."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.platform_copy import ROOT
from tools.cli import main
from tools.repository import Repository

PYTHON = ROOT / "tests" / "fixtures" / "local-runner" / "python"
PLAIN, ADAPTER, CPU = "overlays/dev/team-a/plain", "overlays/dev/team-a/adapter-only", "overlays/dev/team-b/cpu"


class Machine:
    """The platform, a storage, and the two commands."""

    def __init__(self, platform: Path, storage: Path) -> None:
        self.platform = platform
        self.storage = storage
        storage.mkdir()

    def options(self) -> list[str]:
        """What every call takes."""
        return ["--storage", str(self.storage), "--runner-python", str(PYTHON), "--repo", str(self.platform)]

    def run(self, overlay: str = PLAIN, *arguments: str) -> int:
        """Call `ft run`."""
        return main(["run", str(self.platform / overlay), *arguments, *self.options()])

    def todo(self, **words: str) -> None:
        """What the runner's calls are to do: train="75 0"."""
        for step, word in words.items():
            (self.storage / f"{step}.todo").write_text(word)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """What the runner was given, call by call."""
        file = self.storage / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def steps(self) -> list[str]:
        """`train` and `publish` in the order in which they ran."""
        return [call["argv"][2] for call in self.calls]


@pytest.fixture
def machine(platform: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose temporary folders lie in the test's own, so that leftovers can be seen."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    return Machine(platform, tmp_path / "storage")


def leftovers() -> list[str]:
    """What lies in the temporary folder."""
    return [path.name for path in Path(tempfile.gettempdir()).iterdir()]


def test_training_runs_first_then_the_hook(machine: Machine) -> None:
    """The order is Argo CD's: the Job, then PostSync."""
    assert machine.run() == 0
    assert machine.steps() == ["train", "publish"]
    assert leftovers() == []


def test_the_container_gets_what_its_manifest_says(machine: Machine) -> None:
    """Arguments with paths of this machine, the environment of the manifest, the lock, and not the user's environment."""
    os.environ["A_SECRET_OF_THE_USER"] = "x"
    try:
        assert machine.run() == 0
    finally:
        del os.environ["A_SECRET_OF_THE_USER"]
    call = machine.calls[0]
    assert call["argv"][:4] == ["-m", "runner", "train", "--lock"]
    assert call["argv"][5:] == ["--storage", str(machine.storage)]
    assert call["lock"] == (machine.platform / PLAIN / "run.yaml").read_text()
    assert call["env"]["MLFLOW_EXPERIMENT_NAME"] == "team-a"
    assert call["env"]["MLFLOW_TRACKING_URI"] == f"sqlite:///{machine.storage}/mlflow.db"
    assert call["env"]["USER"] == "runner"
    assert call["env"]["HF_HUB_OFFLINE"] == "1"
    assert call["env"]["HOME"].startswith(tempfile.gettempdir())
    assert "A_SECRET_OF_THE_USER" not in call["env"]
    assert call["cwd"] == str(machine.storage)


def test_storage_lies_as_in_a_container(machine: Machine) -> None:
    """The training Job sees no folder of merged models; the publish Job does."""
    assert machine.run() == 0
    training, publish = (set(call["visible"]) for call in machine.calls)
    assert {"models/base-model", "data", "output"} <= training
    assert "models/merged-model" not in training
    assert "models/merged-model" in publish


def test_another_tracking_server_can_be_given(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """And the output says which one replaced the cluster's."""
    assert machine.run(PLAIN, "--tracking-uri", "http://127.0.0.1:5000") == 0
    assert {call["env"]["MLFLOW_TRACKING_URI"] for call in machine.calls} == {"http://127.0.0.1:5000"}
    assert "in place of the cluster's claim and of http://mlflow.dev.example:5000" in capsys.readouterr().out


def test_a_pod_without_gpus_sees_none(machine: Machine) -> None:
    """As in a cluster, where the device plugin shows a pod what it asked for."""
    assert machine.run(CPU) == 0
    assert {call["env"]["CUDA_VISIBLE_DEVICES"] for call in machine.calls} == {""}


def test_exit_code_75_is_retried_in_a_fresh_pod(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """The second attempt has empty emptyDirs, and its success is the Job's."""
    machine.todo(train="75 0")
    assert machine.run() == 0
    assert machine.steps() == ["train", "train", "publish"]
    assert machine.calls[1]["home"] == []
    assert (
        "exit code 75 (retry: checkpoint saved, or the infrastructure failed); retry 1 of 6" in capsys.readouterr().out
    )


@pytest.mark.parametrize("code", ["2", "3", "4", "5"])
def test_codes_that_no_retry_mends_fail_at_once(
    machine: Machine, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No second attempt, no hook; the reason, the last lines and where the rest is."""
    machine.todo(train=code)
    assert machine.run() == 1
    assert machine.steps() == ["train"]
    out = capsys.readouterr().out
    assert f"failed: exit code {code} (" in out
    assert "  | a line of another library" in out
    assert "less " in out
    assert leftovers() == []


def test_retries_end_at_the_backoff_limit(machine: Machine) -> None:
    """The publish Job's limit is 3: four pods, then it has failed."""
    machine.todo(publish="75 1 75 75 0")
    assert machine.run() == 1
    assert machine.steps() == ["train"] + ["publish"] * 4


def test_publishing_can_be_skipped(machine: Machine) -> None:
    """Training only."""
    assert machine.run(PLAIN, "--skip-publish") == 0
    assert machine.steps() == ["train"]


def test_publish_runs_the_hook_alone_and_by_hand(machine: Machine) -> None:
    """`ft publish RUN_ID` finds the overlay and says that a person asked for it."""
    run_id = Repository(machine.platform).lock(f"{PLAIN}/run.yaml").run_id
    assert main(["publish", run_id, *machine.options()]) == 0
    [call] = machine.calls
    assert call["argv"][2] == "publish"
    assert call["argv"][-1] == "--manual"


def test_an_unknown_run_id_is_wrong_usage(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the runs of that experiment."""
    assert main(["publish", "plain-00000000", *machine.options()]) == 2
    assert Repository(machine.platform).lock(f"{PLAIN}/run.yaml").run_id in capsys.readouterr().err


def test_a_run_without_publish_has_nothing_to_publish(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """Its adapter is the result."""
    assert machine.run(ADAPTER) == 0
    assert machine.steps() == ["train"]
    run_id = Repository(machine.platform).lock(f"{ADAPTER}/run.yaml").run_id
    assert main(["publish", run_id, *machine.options()]) == 2
    assert "publishes nothing" in capsys.readouterr().err


def test_progress_is_plain_lines_where_there_is_no_terminal(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Percent, steps, time left, loss and speed; the containers' own lines go to the log."""
    assert machine.run() == 0
    out = capsys.readouterr().out
    assert "   50 % step 1/2, 0:00:01 left, loss 1, 1,234 tokens/s\n" in out
    assert "a line of another library" not in out
    [log] = (machine.storage / "logs").glob("plain-*/plain-*-a1.log")
    assert "a line of another library\n" in log.read_text()


def test_verbose_shows_the_containers_lines(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """For a person who looks for a fault."""
    assert machine.run(PLAIN, "--verbose") == 0
    assert "a line of another library\n" in capsys.readouterr().out


def test_a_missing_interpreter_is_a_fault_of_the_tool(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, with the command that makes it."""
    assert main(["run", str(machine.platform / PLAIN), "--repo", str(machine.platform)]) == 3
    assert "make setup-runner" in capsys.readouterr().err


def test_a_deadline_ends_the_hook(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """A Job past its activeDeadlineSeconds has failed, whatever its exit code."""
    base = machine.platform / "base/training/v1/publish.yaml"
    base.write_text(base.read_text().replace("activeDeadlineSeconds: 3600", "activeDeadlineSeconds: 1"))
    machine.todo(publish="wait")
    assert machine.run() == 1
    assert "its deadline passed" in capsys.readouterr().out


def start(machine: Machine) -> subprocess.Popen[str]:
    """`ft run` as a process of its own, once its container waits."""
    code = "import sys; from tools.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "run", str(machine.platform / PLAIN), *machine.options()]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "waiting" in line:
            return process
    pytest.fail("the container never came to wait")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_the_container_and_ends_the_run(machine: Machine, number: signal.Signals, code: int) -> None:
    """The container saves its checkpoint (75); there is no retry and no hook, and nothing is left behind."""
    machine.todo(train="wait")
    process = start(machine)
    process.send_signal(number)
    assert process.wait(timeout=30) == code
    assert machine.steps() == ["train"]
    assert not psutil.pid_exists(machine.calls[0]["pid"])
    assert leftovers() == []


def test_a_container_that_ignores_sigterm_is_killed_with_its_children(machine: Machine) -> None:
    """After the grace period of its manifest, SIGKILL; a child that it left behind goes too."""
    base = machine.platform / "base/training/v1/job.yaml"
    base.write_text(base.read_text().replace("GracePeriodSeconds: 300", "GracePeriodSeconds: 1"))
    machine.todo(train="stubborn")
    process = start(machine)
    [child] = psutil.Process(machine.calls[0]["pid"]).children()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    until = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.05)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_the_commit_of_the_repository_is_told(machine: Machine) -> None:
    """GIT_COMMIT is HEAD, with -dirty once a file differs from it."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    git = ["git", "-C", str(machine.platform)]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "all"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert machine.run(PLAIN, "--skip-publish") == 0
    (machine.platform / "README.md").write_text("changed")
    assert machine.run(PLAIN, "--skip-publish") == 0
    assert [call["env"]["GIT_COMMIT"] for call in machine.calls] == [head, f"{head}-dirty"]


def test_the_image_brings_what_the_dockerfile_says() -> None:
    """Entry point and environment of a local process are the image's, paths and names of the image aside."""
    from tools.localrun.image import ENTRYPOINT, ENVIRONMENT

    text = (ROOT / "Dockerfile").read_text()
    block = text[text.rindex("\nENV PATH=") :].split("\n\n")[0].replace("\\\n", " ")
    declared = dict(word.split("=", 1) for word in block.split()[1:])
    for name in ("PATH", "PYTHONPATH", "HOME", "USER", "LOGNAME"):
        del declared[name]
    assert declared == ENVIRONMENT
    entry = next(line for line in text.splitlines() if line.startswith("ENTRYPOINT"))
    assert tuple(json.loads(entry.removeprefix("ENTRYPOINT "))[-2:]) == ENTRYPOINT


def test_a_path_above_mounts_that_lie_apart_is_a_folder_of_links(tmp_path: Path) -> None:
    """A manifest that mounts another subPath than the contract's gets what it would get in a cluster."""
    from tools.localrun.sandbox import build

    spec = yaml.safe_load((ROOT / "base/training/v1/job.yaml").read_text())["spec"]["template"]["spec"]
    for mount in spec["containers"][0]["volumeMounts"]:
        if mount["mountPath"] == "/storage/output":
            mount["subPath"] = "elsewhere"
    storage = tmp_path / "storage"
    claims = {"storage": storage, "base-models": storage / "models/base-model"}
    sandbox = build(spec, claims=claims, configmaps={"run": {"run.yaml": "x"}}, temporary=tmp_path / "t")
    root = Path(sandbox.host("/storage"))
    assert (root / "output").resolve() == storage / "elsewhere"
    assert (root / "data").resolve() == storage / "data"
    assert sandbox.host("/storage/output/x") == str(storage / "elsewhere/x")
    assert sandbox.host("/usr/bin/python") == "/usr/bin/python"
    shutil.rmtree(tmp_path / "t")
