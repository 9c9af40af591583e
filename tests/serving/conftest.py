"""The site of the serving test: prepared once, and left out with a reason where there is no vLLM."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Programs
from tests.platform_copy import ROOT
from tests.serving.site import PROBES, RUNNER, TENANT, VLLM, Site

FIXTURES = Path(__file__).parent / "experiments"


def _why_not() -> str:
    """Why there is no vLLM, empty where there is one."""
    if (VLLM / ".ready").is_file():
        return ""
    log = VLLM / "install.log"
    lines = log.read_text(errors="replace").strip().splitlines()[-3:] if log.is_file() else []
    return " ".join(lines) or "`make e2e-serving` installs it"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A committed platform, base model and data on the storage; nothing is trained yet."""
    if why := _why_not():
        pytest.skip(f"no vLLM in {VLLM.name}, so no published folder was served for real: {why}")
    folder = tmp_path_factory.mktemp("serving")
    repo, storage = folder / "repo", folder / "storage"
    for name in ("base", "catalog", "environments", "tenants"):
        shutil.copytree(ROOT / name, repo / name)
    shutil.copytree(FIXTURES, repo / "experiments" / TENANT)
    probes = repo / PROBES
    probes.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("probes.yaml"), probes)
    dev = repo / "environments" / "dev.yaml"
    if "\nserving:" not in dev.read_text():
        dev.write_text(f"{dev.read_text()}serving: {{}}\n")
    subprocess.run([RUNNER, "-m", "demo.base_model", "--storage", storage], cwd=ROOT, check=True)
    with Programs(folder / "programs") as programs:
        made = Site(repo, storage, programs)
        data = storage / "data" / "training-datasets"
        data.mkdir(parents=True)
        shutil.copy(ROOT / "demo" / "data" / "customer-topics.json", data)
        _add_second_dataset(made, folder)
        made.git("init", "-q")
        made.commit("the platform")
        yield made


def _add_second_dataset(site: Site, folder: Path) -> None:
    """The same messages, their topics in capitals: what was learnt from it is plain to see."""
    rows = json.loads((ROOT / "demo" / "data" / "customer-topics.json").read_text())
    file = folder / "capital-topics.json"
    file.write_text(json.dumps([{**row, "output": row["output"].upper()} for row in rows]))
    site.made(
        "dataset", "add", str(file), "--tenant", TENANT, "--name", "capital-topics", "--storage", str(site.storage),
        "--copy", "--description", "The demo's messages with their topics in capitals",
    )  # fmt: skip
