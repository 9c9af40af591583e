"""`ft verify model`, on folders that the runner published, whole and tampered with; and what stands in them."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from runner import card, completion, placing
from runner.exits import Retry
from runner.publication import Publication
from runner.records import read
from runner.storage import Paths
from tests.finished import finish
from tests.runs import make_paths
from tools.cli import main
from tools.formats.lock import Authorized, LockedPublish, seal

HOSTILE = "\n# Pwned <script>alert(1)</script> @all [x](javascript:1) | `/approve`\n---\nlicense: mit"


def keys(folder: Path) -> tuple[Path, Path]:
    """Files with a new private key and its public half."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / "key.pem", folder / "public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def published(root: Path, **changes: Any) -> Paths:
    """A published run of method full, approved in a merge request."""
    root.mkdir(exist_ok=True)
    paths = make_paths(root, settings={"finetuning_type": "full"}, **changes)
    people = Authorized(at="2026-11-01T10:00:00Z", commit="a" * 40, merge_request=7, approvers=["ewa.lis"])
    paths = Paths(paths.storage, seal(paths.lock.run, attempt=1, state="active", authorized=people))
    finish(paths)
    proof = completion.check(paths).completion
    assert proof is not None
    placing.place(paths, proof)
    return paths


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A signed model's folder, and the public key."""
    root = tmp_path_factory.mktemp("signed")
    private, public = keys(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(card.KEY, str(private))
        return published(root, publish={"model_name": "team-a.support", "merge": True, "signed": True}).merged, public


def verify(capsys: pytest.CaptureFixture[str], folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and what is said of the folder."""
    code = main(["verify", "model", str(folder), "--format", "json", *options])
    (found,) = json.loads(capsys.readouterr().out)
    return code, found


def test_a_signed_model_is_as_published(signed: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0; the approvers are those of the signed statement."""
    folder, public = signed
    code, found = verify(capsys, folder, "--key", str(public))
    assert (code, found["faults"]) == (0, [])
    assert found["approvers"] == ["ewa.lis"]
    assert len(found["signature"]) == 64
    assert main(["verify", "model", str(folder), "--key", str(public)]) == 0
    assert f"signed by {found['signature'][:16]}" in capsys.readouterr().out


def test_an_unsigned_model_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fine where no key is asked for, a fault where one is."""
    folder = published(tmp_path).merged
    assert main(["verify", "model", str(folder)]) == 0
    assert "UNSIGNED" in capsys.readouterr().out
    code, found = verify(capsys, folder, "--key", str(keys(tmp_path)[1]))
    assert code == 1
    assert "provenance.intoto.json is unsigned" in found["faults"][0]


def test_the_environments_keys_count(
    signed: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any of model_signing.public_keys will do, so that a key can be replaced by a newer one."""
    folder, public = signed
    line = "".join(public.read_text().splitlines()[1:-1])
    other = "".join(keys(tmp_path)[1].read_text().splitlines()[1:-1])
    platform = tmp_path / "platform"
    shutil.copytree(Path(__file__).parents[2] / "environments", platform / "environments")
    for name in ("tenants", "catalog"):
        (platform / name).mkdir()
    file = platform / "environments" / "dev.yaml"
    text = file.read_text()
    file.write_text(f"{text}model_signing:\n  public_keys: [{other}, {line}]\n")
    code, found = verify(capsys, folder, "--repo", str(platform))
    assert (code, found["faults"]) == (0, [])
    file.write_text(f"{text}model_signing:\n  public_keys: [{other}]\n")
    code, found = verify(capsys, folder, "--repo", str(platform))
    assert code == 1
    assert "is not that of a known key" in found["faults"][0]


def _flip(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return change


def _link(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("/etc/hostname")


def _republished(folder: Path, name: str, content: bytes) -> None:
    """Change a file, and publication.json so that it lists the change: what a careful thief would do."""
    (folder / name).write_bytes(content)
    record = read(Publication, folder / "publication.json")
    known = {**record.files, name: record.files[name].model_copy(update={
        "sha256": hashlib.sha256(content).hexdigest(), "size": len(content),
    })}  # fmt: skip
    record.model_copy(update={"files": known}).write(folder / "publication.json")


def _swapped(folder: Path) -> None:
    _republished(folder, "config.json", (folder / "config.json").read_bytes() + b" ")


def _stripped(folder: Path) -> None:
    envelope = json.loads((folder / "provenance.intoto.json").read_bytes())
    _republished(folder, "provenance.intoto.json", json.dumps({**envelope, "signatures": []}).encode())


def _reapproved(folder: Path) -> None:
    envelope = json.loads((folder / "provenance.intoto.json").read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b"ewa.lis", b"jan.kos")
    envelope["payload"] = base64.b64encode(payload).decode()
    _republished(folder, "provenance.intoto.json", json.dumps(envelope).encode())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_flip("model.safetensors"), "model.safetensors: sha256 is"),
        (_flip("publication.json"), "publication.json is damaged"),
        (_flip("certificate.json"), "certificate.json is damaged"),
        (_flip("README.md"), "README.md: sha256 is"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "certificate.json").unlink(), "certificate.json is missing"),
        (lambda folder: (folder / "modeling.py").write_text("evil"), '"modeling.py" is not listed'),
        (_link, '"tokenizer.json" is no plain file'),
        (_swapped, "certificate.json certifies another config.json"),
        (_swapped, 'of "config.json"'),
        (_stripped, "provenance.intoto.json is unsigned"),
        (_reapproved, "is not that of a known key"),
        (lambda folder: _republished(folder, "provenance.intoto.json", b"[1]"), "no DSSE envelope"),
        (lambda folder: _republished(folder, "bom.cdx.json", b"{}"), "is no bill of materials"),
    ],
)
def test_whatever_was_changed_is_named(
    signed: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    reason: str,
) -> None:
    """Exit 1 and the reason, also where publication.json was made to fit."""
    folder = shutil.copytree(signed[0], tmp_path / "model")
    change(folder)
    code, found = verify(capsys, folder, "--key", str(signed[1]))
    assert code == 1
    assert any(reason in fault for fault in found["faults"]), found["faults"]


def test_every_fault_is_said_in_one_run(
    signed: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the first one only."""
    folder = shutil.copytree(signed[0], tmp_path / "model")
    for name in ("README.md", "certificate.json", "model.safetensors"):
        _flip(name)(folder)
    assert len(verify(capsys, folder, "--key", str(signed[1]))[1]["faults"]) >= 3


def test_wrong_use_is_exit_2(tmp_path: Path) -> None:
    """No folder, a folder that is not there, a key that is none."""
    text = tmp_path / "text"
    text.write_text("no key")
    for arguments in (
        [],
        [str(tmp_path / "none")],
        [str(tmp_path), "--key", str(text)],
        [str(tmp_path), "--key", "none"],
    ):
        assert main(["verify", "model", *arguments]) == 2


def test_it_imports_nothing_heavy(signed: tuple[Path, Path]) -> None:
    """An auditor's machine has no torch."""
    code = (
        "import sys; from tools.cli import main\n"
        "code = main(['verify', 'model', sys.argv[1], '--key', sys.argv[2]])\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'numpy', 'peft', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)"
    )
    assert subprocess.run([sys.executable, "-c", code, *signed], check=False, capture_output=True).returncode == 0


def test_a_run_that_must_be_signed_is_not_published_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before anything is merged; a key of another kind is refused by name, and nothing of it is shown."""
    publish = {"model_name": "team-a.support", "merge": True, "signed": True}
    with pytest.raises(Retry, match="no key is here"):
        published(tmp_path, publish=publish)
    key = generate_private_key(public_exponent=65537, key_size=2048)
    file = tmp_path / "rsa.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    monkeypatch.setenv(card.KEY, str(file))
    with pytest.raises(Retry, match="allowed: ed25519"):
        published(tmp_path, publish=publish)
    assert not list((tmp_path / "storage" / "models" / "merged-model").rglob("*.safetensors"))


def test_a_lock_of_before_signing_keeps_its_bytes() -> None:
    """`signed` is left out where nothing is signed."""
    assert LockedPublish(model_name="team-a.support", merge=True).model_dump() == {
        "model_name": "team-a.support",
        "merge": True,
    }


def test_the_bill_of_materials_is_valid_cyclonedx(signed: tuple[Path, Path]) -> None:
    """Against the official 1.6 schema, with model, licence, data and the hash of every file."""
    schemas = files("cyclonedx.schema") / "_res"
    names = ("bom-1.6.SNAPSHOT.schema.json", "spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")
    parts = {name: json.loads((schemas / name).read_text()) for name in names}
    registry = jsonschema_rs.Registry([(f"http://cyclonedx.org/schema/{name}", part) for name, part in parts.items()])
    document = json.loads((signed[0] / "bom.cdx.json").read_text())
    jsonschema_rs.Draft7Validator(parts[names[0]], registry=registry).validate(document)
    model = document["metadata"]["component"]
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert {part["name"] for part in model["components"]} >= {"model.safetensors", "config.json"}
    assert [part["name"] for part in document["components"] if part["type"] == "data"] == ["topics"]
    assert model["modelCard"]["considerations"]["useCases"] == ["Sorts messages"]


def test_a_hostile_description_stays_text(tmp_path: Path) -> None:
    """In the card it is escaped, and the front matter keeps its own licence."""
    experiment = {"version": 1, "description": HOSTILE, "owner": "anna.nowak"}
    text = (published(tmp_path, experiment=experiment).merged / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "apache-2.0"
    assert front["base_model"] == "example/tiny"
    assert "<script>" not in text
    assert not [line for line in text.splitlines() if line.startswith("# Pwned")]
    assert "\\[x\\]\\(javascript\\:1\\)" in text
