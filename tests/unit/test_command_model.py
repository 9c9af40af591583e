"""`ft model add`, called as a user calls it."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.tiny_model import tiny_llama
from tools.cli import main
from tools.repository import Repository

FIXTURES = Path(__file__).parents[1] / "fixtures"
TINY = tiny_llama()
RUN = "ab" * 32
VERSION = {
    "name": "team-a.support",
    "version": "7",
    "source": "pvc://team-a-training/storage/models/merged-model/support/exp-001-1a2b3c4d",
    "tags": [{"key": "run_sha256", "value": RUN}, {"key": "base_model", "value": "smollm2-135m-instruct"}],
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the example repository."""
    return Path(shutil.copytree(FIXTURES / "repository", tmp_path / "repository"))


def add(repository: Path, *options: str, name: str = "tiny") -> int:
    """Run `ft model add`."""
    return main(["model", "add", "--name", name, "--repo", str(repository), *options])


SOURCE = ("--source", "example/tiny-llama@0123abc", "--template", "llama3")


def test_a_folder_becomes_a_catalogue_entry(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The entry is valid, begins with a comment and holds licence, template, numbers and every file's hash."""
    assert add(repository, str(TINY), *SOURCE) == 0
    assert (repository / "catalog/models/tiny.yaml").read_text().startswith("# Base model tiny:")
    model = Repository(repository).model("tiny")
    assert model is not None
    assert (model.path, model.licence, model.template, model.dtype) == (
        "tiny-llama",
        "apache-2.0",
        "llama3",
        "bfloat16",
    )
    assert (model.source.repository, model.source.revision) == ("example/tiny-llama", "0123abc")
    assert model.architecture.linear_modules["down_proj"] == (16, 8, 2)
    assert {name: file.sha256 for name, file in model.files.items()} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in TINY.iterdir()
    }
    assert "wrote catalog/models/tiny.yaml: llama" in capsys.readouterr().out


def test_the_new_entry_passes_the_repositorys_own_check(repository: Path) -> None:
    """`ft validate` has nothing to say about what `ft model add` writes."""
    assert add(repository, str(TINY), *SOURCE) == 0
    assert main(["validate", "--repo", str(repository), str(repository / "catalog/models/tiny.yaml")]) == 0


def test_the_template_of_a_known_repository_is_found(repository: Path) -> None:
    """LLaMA Factory knows the template of published repositories."""
    assert add(repository, str(TINY), "--source", "HuggingFaceTB/SmolLM2-135M-Instruct@0123abc") == 0
    model = Repository(repository).model("tiny")
    assert model is not None
    assert model.template == "smollm2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((str(TINY), "--source", "example/tiny@main", "--template", "llama3"), "never a branch"),
        ((str(TINY), "--source", "example/tiny", "--template", "llama3"), "allowed: REPOSITORY@REVISION"),
        ((str(TINY), "--source", "example/tiny@1"), "knows no chat template for example/tiny; give --template"),
        ((str(TINY), "--source", "example/tiny@1", "--template", "lama3"), "did you mean llama3"),
        ((str(TINY), *SOURCE, "--path", "../tiny"), "without . or .. parts"),
        ((str(TINY),), "give FOLDER and --source"),
        (("no-such-folder", *SOURCE, "--licence", "mit"), "no-such-folder is no folder"),
        (("--from-registry", "a@b"), "needs --tracking-uri URI and --storage DIR"),
    ],
)
def test_a_wrong_request_is_refused(
    options: tuple[str, ...], message: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each gives exit code 2, says what is allowed and writes nothing."""
    assert add(repository, *options) == 2
    assert message in capsys.readouterr().err
    assert not (repository / "catalog/models/tiny.yaml").exists()


def test_an_existing_entry_stays(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Writing over an entry needs --replace."""
    assert add(repository, str(TINY), *SOURCE, name="smollm2-135m-instruct") == 2
    assert "exists; choose another --name, or give --replace" in capsys.readouterr().err


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage with one published model and its record."""
    place = tmp_path / "storage/models/merged-model/support/exp-001-1a2b3c4d"
    shutil.copytree(TINY, place)
    files = {
        path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
        for path in TINY.iterdir()
    }
    tags = {"run_id": "exp-001-1a2b3c4d", "base_model": "smollm2-135m-instruct"}
    record = {"version": 1, "run_sha256": RUN, "files": files, "tags": tags}
    (place / "publication.json").write_text(json.dumps(record))
    return tmp_path / "storage"


class Registry(BaseHTTPRequestHandler):
    """Answers as MLflow's REST API does for one alias of one model."""

    def do_GET(self) -> None:
        """One known question, an MLflow error for all others."""
        known = self.path == "/api/2.0/mlflow/registered-models/alias?name=team-a.support&alias=candidate"
        answer = {"model_version": VERSION} if known else {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def registry() -> Iterator[str]:
    """The address of a registry."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def from_registry(repository: Path, registry: str, storage: Path, *options: str, alias: str = "candidate") -> int:
    """Run `ft model add --from-registry`."""
    wanted = ["--from-registry", f"team-a.support@{alias}", "--tracking-uri", registry, "--storage", str(storage)]
    return add(repository, *wanted, *options, name="support-v7")


def test_a_registered_model_becomes_a_base_model(repository: Path, registry: str, storage: Path) -> None:
    """Licence and template are the base model's; source names version and run; --copy puts the files in place."""
    assert from_registry(repository, registry, storage, "--copy") == 0
    model, base = Repository(repository).model("support-v7"), Repository(repository).model("smollm2-135m-instruct")
    assert model is not None
    assert base is not None
    assert model.source.model_dump() == {
        "repository": "registry:team-a.support",
        "revision": "version 7, run exp-001-1a2b3c4d",
    }
    assert (model.licence, model.template, model.path) == (base.licence, base.template, "support-v7")
    target = storage / "models/base-model/support-v7"
    assert {path.name for path in target.iterdir()} == set(model.files)
    assert [path.name for path in target.parent.iterdir()] == ["support-v7"]


def test_without_copy_the_folder_must_be_there(
    repository: Path, registry: str, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Jobs read base models from models/base-model/ only, so the message says how the files get there."""
    assert from_registry(repository, registry, storage) == 2
    assert "jobs read base models from models/base-model/ only; give --copy" in capsys.readouterr().err


def test_a_folder_in_place_must_be_the_published_one(
    repository: Path, registry: str, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another model under the chosen path is not taken for the published one."""
    shutil.copytree(TINY, storage / "models/base-model/support-v7")
    (storage / "models/base-model/support-v7/README.md").write_text("another")
    assert from_registry(repository, registry, storage) == 2
    assert "is not the published file" in capsys.readouterr().err


def test_a_changed_publication_is_refused(
    repository: Path, registry: str, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A published folder that someone changed is no base for anything."""
    (storage / "models/merged-model/support/exp-001-1a2b3c4d/config.json").write_text("{}")
    assert from_registry(repository, registry, storage, "--copy") == 2
    assert "config.json is not the file that was published" in capsys.readouterr().err


def test_an_unknown_alias_is_wrong_usage(
    repository: Path, registry: str, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The registry's answer becomes a message with model and alias."""
    assert from_registry(repository, registry, storage, alias="champion") == 2
    assert "has no team-a.support@champion" in capsys.readouterr().err


def test_a_registry_that_is_away_is_a_fault_of_the_surroundings(
    repository: Path, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody listening gives exit code 3."""
    assert from_registry(repository, "http://127.0.0.1:9", storage) == 3
    assert "cannot be asked" in capsys.readouterr().err


@pytest.mark.parametrize("uri", ["file:///etc", "databricks", "sqlite:///no-such.db"])
def test_other_addresses_are_refused(uri: str, repository: Path, storage: Path) -> None:
    """Only http, https and an SQLite file that is there can be asked."""
    assert from_registry(repository, uri, storage) == 2
