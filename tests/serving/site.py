"""A platform with two trained and published versions of one real model, and a vLLM that serves what its overlay says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import audited
from tests.e2e.processes import Program, Programs, free_ports, wait_for
from tests.platform_copy import ROOT
from tools.cli import main
from tools.formats.lock import Lock
from tools.render.documents import read
from tools.render.kustomize import Kustomize
from tools.repository import Repository

RUNNER = ROOT / ".venv-runner" / "bin" / "python"
VLLM = ROOT / ".venv-vllm"
TENANT, MODEL, ENVIRONMENT = "team-a", "topics", "dev"
NAME = f"{TENANT}.{MODEL}"
PROBES = f"tenants/{TENANT}/behaviours/{MODEL}.yaml"
READY_SECONDS = 1500.0
# What a serving team's patch would say for a machine with two cores and no GPU. float32: two programs that round to bfloat16 in
# other places agree on fewer tokens than two that add in another order.
SMALL = (
    "--dtype=float32", "--enforce-eager", "--max-model-len=256", "--max-num-batched-tokens=256", "--max-num-seqs=4",
)  # fmt: skip
SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "HF_HUB_OFFLINE": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONDONTWRITEBYTECODE": "",  # it imports in a third of the time from compiled modules
}


@dataclass
class Site:
    """The platform's repository, the tenant's storage, and the programs that run."""

    repo: Path
    storage: Path
    programs: Programs
    server: Program | None = None
    url: str = ""

    @property
    def models(self) -> Path:
        """What the vLLM mounts."""
        return self.storage / "models" / "merged-model"

    def ft(self, *arguments: str) -> int:
        """Call `ft` in the repository; its exit code."""
        return main([*arguments, "--repo", str(self.repo)])

    def made(self, *arguments: str) -> None:
        """Call `ft`, which has to succeed."""
        assert self.ft(*arguments) == 0, arguments

    def git(self, *arguments: str) -> None:
        """Call git as somebody."""
        who = ["-c", "user.name=Ewa Lis", "-c", "user.email=ewa.lis@bank.example", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], cwd=self.repo, check=True)

    def commit(self, text: str) -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", text)

    def published(self, experiment: str) -> str:
        """Train, merge, certify and publish an experiment, and record it as the bot does; the run id."""
        overlay = f"overlays/{ENVIRONMENT}/{TENANT}/{experiment}"
        self.made("expand", str(self.repo / "experiments" / TENANT / f"{experiment}.yaml"))
        options = ["--storage", str(self.storage), "--runner-python", str(RUNNER)]
        self.made("run", str(self.repo / overlay), *options)
        lock = Repository(self.repo).lock(f"{overlay}/run.yaml")
        self._record(lock)
        return lock.run_id

    def _record(self, lock: Lock) -> None:
        publication = hashlib.sha256((self.folder(lock.run_id) / "publication.json").read_bytes()).hexdigest()
        ended = audited.outcome("finished", version=int(lock.run.name[-1]))
        assert ended.registered is not None
        registered = ended.registered.model_copy(
            update={"name": NAME, "publication": publication, "evaluation": "passed"}
        )
        audited.write(self.repo, audited.record(lock, ended.model_copy(update={"registered": registered})))

    def folder(self, run_id: str) -> Path:
        """The published folder of a run."""
        return self.models / MODEL / run_id

    def promote(self, run_id: str) -> None:
        """What a merged promotion leaves in git: the file, and the overlay made from it."""
        self.made("promote", run_id)
        self.made("expand", "--serving")
        self.commit(f"serving: promote {run_id}")

    def revert(self) -> None:
        """The rollback: the last promotion taken back."""
        self.git("revert", "--no-edit", "HEAD")

    def restart(self) -> None:
        """Let the vLLM be the one that the overlay describes; returns when the old one has ended and the new one loads."""
        if self.server is not None:
            self.server.stop()
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        arguments = [each for each in self._arguments() if not each.startswith("--port")]
        command = [
            str(VLLM / "bin" / "python"), "-m", "vllm.entrypoints.openai.api_server", *arguments, *SMALL,
            "--host=127.0.0.1", f"--port={port}",
        ]  # fmt: skip
        home = self.programs.folder
        own = {"HOME": str(home), "VLLM_CACHE_ROOT": str(home / "cache"), "VLLM_CONFIG_ROOT": str(home / "config")}
        self.server = self.programs.start("vllm", command, SETTINGS | own)

    def ready(self) -> None:
        """Wait until it answers."""
        assert self.server is not None
        wait_for(self._answers, "vLLM answers", READY_SECONDS, [self.server])

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _arguments(self) -> list[str]:
        """The container's arguments, from what kustomize makes of the base and the overlay."""
        build = self.repo / "build" / "model"
        build.mkdir(parents=True)
        overlay = f"../../overlays/{ENVIRONMENT}/_serving/{TENANT}/{MODEL}"
        (build / "kustomization.yaml").write_text(
            f"resources: [../../base/serving/v1]\ncomponents: [{overlay}]\n", encoding="utf-8"
        )
        [built] = Kustomize.find().build(self.repo, ["build/model"])
        assert built.fault is None, built.fault
        shutil.rmtree(build.parent)
        manifests = read(built.manifests)
        [deployment] = [each for each in manifests if each["kind"] == "Deployment"]
        [container] = [each for each in deployment["spec"]["template"]["spec"]["containers"] if each["name"] == "vllm"]
        name = container["envFrom"][0]["configMapRef"]["name"]
        [values] = [
            each["data"] for each in manifests if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name
        ]
        [mount] = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "models"]
        return [_filled(argument, values).replace(f"{mount}/", f"{self.models}/") for argument in container["args"]]

    def check(self) -> int:
        """`ft serve-check` against what runs: the identity, every file, and the probes."""
        probes = str(self.repo / PROBES)
        return self.ft("serve-check", NAME, "--url", self.url, "--storage", str(self.storage), "--probes", probes)

    def ask(self, chat: list[dict[str, str]], tokens: int) -> dict[str, Any]:
        """The greedy answer to a chat: its text and the log probability of each of its tokens."""
        body = {"model": NAME, "messages": chat, "temperature": 0, "max_tokens": tokens, "logprobs": True}
        request = urllib.request.Request(
            f"{self.url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=300) as answer:
            choice = json.load(answer)["choices"][0]
        logprobs = [each["logprob"] for each in choice["logprobs"]["content"]]
        return {"text": choice["message"]["content"], "logprobs": logprobs}


def _filled(argument: str, values: dict[str, str]) -> str:
    """An argument as a kubelet passes it: `$(NAME)` replaced."""
    for name, value in values.items():
        argument = argument.replace(f"$({name})", value)
    return argument


def reference(folders: list[Path], chats: list[list[dict[str, str]]]) -> subprocess.Popen[str]:
    """Transformers' answers to the chats, from each folder: read with `answers`."""
    command = [str(RUNNER), str(Path(__file__).with_name("reference.py")), *map(str, folders)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(chats))
    process.stdin.close()
    return process


def answers(process: subprocess.Popen[str]) -> list[list[dict[str, Any]]]:
    """What `reference` found: for each folder the answers."""
    assert process.stdout is not None
    found: list[list[dict[str, Any]]] = json.load(process.stdout)
    assert process.wait() == 0
    return found
