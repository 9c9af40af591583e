"""`ft reproduce` on real trainings: a tiny Llama on the CPU, its overlay retired, its storage as the first training left it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner import completion
from runner.hashing import names_in, record
from runner.records import read
from runner.storage import Paths
from tests.platform_copy import FIXTURE, ROOT, tree
from tests.runs import make_lock, make_storage
from tools.cli import main
from tools.expand import overlay, store
from tools.formats.lock import Lock

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]
OVERLAY = "overlays/dev/team-a/exp-001"


@dataclass
class Site:
    """A repository whose only run has finished and was retired; `storage` holds its result, `into` the second one."""

    repo: Path
    storage: Path
    into: Path
    lock: Lock

    @property
    def adapter(self) -> Path:
        return Paths(self.storage, self.lock).adapter

    def reproduce(self, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
        """Exit code and standard output of `ft reproduce`."""
        given = ["--storage", str(self.storage), "--into", str(self.into), "--runner-python", sys.executable]
        capsys.readouterr()
        code = main(["reproduce", self.lock.run_id, *given, "--repo", str(self.repo), *options])
        return code, capsys.readouterr().out

    def data(self, capsys: pytest.CaptureFixture[str]) -> Any:
        """What `--format json` says."""
        return json.loads(self.reproduce(capsys, "--format", "json")[1])

    def change_proof(self, **changed: Any) -> None:
        """Let the first training have been another one, with a proof that fits."""
        found = read(completion.Completion, self.adapter / completion.NAME)
        files = record(self.adapter, [name for name in names_in(self.adapter) if name != completion.NAME])
        found.model_copy(update={"files": files, **changed}).write(self.adapter / completion.NAME)


def git(repo: Path, *arguments: str) -> None:
    """Call git as somebody."""
    who = ["-c", "user.name=Anna Nowak", "-c", "user.email=anna.nowak@bank.example", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=repo, check=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The run trained once with `ft run`, retired, and reproduced once."""
    folder = tmp_path_factory.mktemp("reproduce")
    repo, storage = folder / "repo", make_storage(folder / "storage")
    shutil.copytree(FIXTURE, repo)
    shutil.copytree(ROOT / "base", repo / "base")
    lock = make_lock(storage)
    store.replace(repo / OVERLAY, overlay.files(lock))
    options = ["--storage", str(storage), "--runner-python", sys.executable, "--skip-publish", "--repo", str(repo)]
    assert main(["run", str(repo / OVERLAY), *options]) == 0
    git(repo, "init", "-q")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "the run")
    git(repo, "rm", "-rq", "overlays")
    git(repo, "commit", "-q", "-m", "retire it")
    return Site(repo, storage, folder / "again", lock)


@pytest.fixture
def site(trained: Site) -> Iterator[Site]:
    """The site; what a test changes in the original's result or data is put back."""
    before = {name: (trained.storage / name).read_bytes() for name in tree(trained.storage) if _changeable(name)}
    yield trained
    for name, content in before.items():
        (trained.storage / name).write_bytes(content)


def _changeable(name: str) -> bool:
    return name.startswith(("output/lora-adapter/", "data/"))


def test_the_same_weights_come_out(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A retired run, trained again from git and storage, is the same bit for bit, and the original is untouched."""
    before = tree(site.storage)
    code, out = site.reproduce(capsys)
    assert code == 0, out
    assert "equal: the second run gave the same weights" in out
    assert f":{OVERLAY}/run.yaml" in out  # from a commit, as the overlay is gone
    assert tree(site.storage) == before
    data = site.data(capsys)
    assert (data["verdict"], data["steps"]) == ("equal", {"then": 6, "now": 6})
    assert data["weights"]["equal"] == data["weights"]["tensors"] > 10


def test_changed_data_is_named_and_nothing_is_trained(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A dataset that is no longer the locked one makes another run: the report names it with both hashes."""
    file = site.storage / "data" / "training-datasets" / "topics.json"
    file.write_bytes(file.read_bytes() + b"\n")
    site.into = site.into.with_name("never")
    data = site.data(capsys)
    assert data["verdict"] == "not comparable"
    (difference,) = data["differences"]
    assert (difference["kind"], difference["name"]) == ("dataset", "topics")
    assert difference["then"] == f"sha256 {site.lock.run.datasets[0].sha256}"
    assert not site.into.exists()
    site.into = site.into.with_name("again")


def test_other_versions_are_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """What the first training ran with is compared with what is installed here."""
    versions = read(completion.Completion, site.adapter / completion.NAME).versions
    site.change_proof(versions={**versions, "torch": "2.0.1"})
    data = site.data(capsys)
    assert [(each["kind"], each["name"], each["then"]) for each in data["differences"]] == [
        ("version", "torch", "2.0.1")
    ]


def test_other_weights_are_measured(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights that differ are named with the largest difference, and the report says what is expected."""
    file = site.adapter / "adapter_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 0x40  # the exponent of the last float
    file.write_bytes(content)
    site.change_proof(metrics={"train_loss": 1.5})
    code, out = site.reproduce(capsys)
    assert code == 1
    assert "largest difference" in out
    assert "metric train_loss: then 1.5, now" in out
    assert "different: expected: on a CPU the weights are the same bit for bit" in out


def test_a_damaged_original_is_nothing_to_compare_with(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of the result that differ from completion.json are named; nothing is trained."""
    (site.adapter / "adapter_model.safetensors").write_bytes(b"")
    data = site.data(capsys)
    assert data["verdict"] == "not comparable"
    assert [(each["kind"], each["name"]) for each in data["differences"]] == [("result", "adapter_model.safetensors")]


def test_a_folder_inside_the_storage_is_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """The second run never lies where the first one does."""
    code = main(
        ["reproduce", site.lock.run_id, "--storage", str(site.storage), "--into", str(site.storage / "x"),
         "--runner-python", sys.executable, "--repo", str(site.repo)]
    )  # fmt: skip
    assert code == 2
    assert "lie in each other" in capsys.readouterr().err
