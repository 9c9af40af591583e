"""A served model's overlay: what kustomize builds of it over base/serving/v1, the init container's check, and the route."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.platform_copy import ROOT
from tools.expand import serving
from tools.expand.gateways import objects
from tools.formats.environment import Gateway
from tools.formats.serving import Serving
from tools.formats.serving_lock import ServingContent, seal
from tools.render.documents import read
from tools.render.kustomize import Kustomize

SCHEMA = json.loads((ROOT / "tests/fixtures/gateway-api/httproute-v1.schema.json").read_text())
GATEWAY = Gateway(kind="gateway-api", name="models", namespace="gateways", hostname="models.example")


def content(version: int = 3, gateway: Gateway | None = GATEWAY) -> ServingContent:
    """What is served; each version has a hash of its own."""
    served = Serving(version=1, run_id="exp-001-0a1b2c3d", model_version=version, publication=f"{version:02x}" * 32)
    return ServingContent(
        environment="dev", tenant="team-a", model_name="support", base="v1", namespace="team-a-serving",
        served=served, gateway=gateway,
    )  # fmt: skip


def build(folder: Path, served: ServingContent) -> dict[str, dict[str, Any]]:
    """Kind -> object, as the serving team's application builds them; ConfigMaps by their name's beginning."""
    shutil.copytree(ROOT / "base/serving", folder / "base/serving")
    overlay = folder / serving.folder(served)
    overlay.mkdir(parents=True)
    for name, body in serving.files(seal(served, None)).items():
        (overlay / name).write_bytes(body)
    application = {"resources": ["../../base/serving/v1"], "components": [f"../../{serving.folder(served)}"]}
    (folder / "application/dev").mkdir(parents=True)
    (folder / "application/dev/kustomization.yaml").write_text(yaml.safe_dump(application))
    (built,) = Kustomize.find().build(folder, ["application/dev"])
    assert built.fault is None
    found = read(built.manifests)
    return {f"{each['kind']} {each['metadata']['name']}".partition("-support-")[0]: each for each in found}


def test_it_builds_with_one_name_namespace_and_settings(tmp_path: Path) -> None:
    """The vLLM is told name, folder and hash; the model is mounted read-only; the route leads to the Service."""
    built = build(tmp_path, content())
    deployment, service = built["Deployment model-support"], built["Service model-support"]
    assert {each["metadata"]["namespace"] for each in built.values()} == {"team-a-serving"}
    (pod,) = [deployment["spec"]["template"]["spec"]]
    (vllm,) = pod["containers"]
    settings = built["ConfigMap served-model"]
    assert vllm["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
    assert settings["data"] == serving.settings(content())
    used = {word for argument in vllm["args"] for word in serving.settings(content()) if f"$({word})" in argument}
    assert used == {"MODEL_FOLDER", "MODEL_NAME", "MODEL_HASH12"}
    assert all(mount["readOnly"] for mount in vllm["volumeMounts"] if mount["name"] == "models")
    selector = service["spec"]["selector"].items()
    assert selector <= deployment["spec"]["template"]["metadata"]["labels"].items()
    (rule,) = built["HTTPRoute model-support"]["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": service["metadata"]["name"], "port": service["spec"]["ports"][0]["port"]}]


def test_another_version_restarts_the_pods_and_nothing_else_changes(tmp_path: Path) -> None:
    """Path and hash in the pods' annotations, and the ConfigMap's name; the immutable selector stays."""
    old, new = (build(tmp_path / str(number), content(number))["Deployment model-support"] for number in (3, 4))
    assert old["spec"]["template"]["metadata"]["annotations"] != new["spec"]["template"]["metadata"]["annotations"]
    annotations = new["spec"]["template"]["metadata"]["annotations"]
    assert annotations["finetuning/publication-sha256"] == "04" * 32
    assert annotations["finetuning/model-path"] == "merged-model/support/exp-001-0a1b2c3d"
    assert old["spec"]["selector"] == new["spec"]["selector"]
    assert new["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_route_is_valid_by_the_schema_of_its_kind() -> None:
    """As the Gateway API's own CRD has it; a misspelt field or a wrong type is found."""
    (route,) = objects(content())
    validator = jsonschema_rs.validator_for(SCHEMA)
    assert [each.message for each in validator.iter_errors(route)] == []
    rules = route["spec"]["rules"]
    for wrong in (
        [{**rules[0], "backendRefs": [{"port": 8000}]}],
        [{**rules[0], "matches": [{"path": {"type": "Regex"}}]}],
    ):
        assert not validator.is_valid({**route, "spec": {**route["spec"], "rules": wrong}})


def test_the_example_for_argocd_runs_what_is_built(tmp_path: Path) -> None:
    """Its project allows every kind that comes out, and the folders and paths that it names are those of this repository."""
    text = (ROOT / "docs/examples/serving/argocd.yaml").read_text()
    project, applications = yaml.safe_load_all(text)
    allowed = {(each["group"], each["kind"]) for each in project["spec"]["namespaceResourceWhitelist"]}
    for each in build(tmp_path, content()).values():
        group = each["apiVersion"].rpartition("/")[0]
        assert (group, each["kind"]) in allowed
    source = applications["spec"]["template"]["spec"]["source"]
    (folder,) = applications["spec"]["generators"][0]["git"]["directories"]
    (component,) = source["kustomize"]["components"]
    overlay = serving.folder(content())
    assert Path(overlay).match(folder["path"])
    assert (tmp_path / source["path"] / component.replace("{{ .path.path }}", overlay) / "kustomization.yaml").is_file()


def test_without_a_gateway_nothing_is_registered(tmp_path: Path) -> None:
    """No route, and the overlay builds all the same."""
    built = build(tmp_path, content(gateway=None))
    assert not [name for name in built if name.startswith("HTTPRoute")]


def published(folder: Path) -> str:
    """A folder as `publish` leaves it; the hash of its record."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    listed = {"model.safetensors": {"sha256": hashlib.sha256(b"weights").hexdigest(), "size": 7}}
    (folder / "publication.json").write_text(json.dumps({"files": listed}))
    return hashlib.sha256((folder / "publication.json").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, "every file is as approved"),
        ("weights", "model.safetensors is not the file that was published"),
        ("record", "approved is"),
        ("more", "lacks or adds extra.bin"),
        ("gone", "lacks or adds model.safetensors"),
    ],
)
def test_the_init_container_lets_only_the_approved_folder_through(
    tmp_path: Path, change: str | None, said: str
) -> None:
    """Run as the pod runs it: a changed file, another record, a file more or less end in exit code 1 and a reason."""
    folder = tmp_path / "model"
    wanted = published(folder)
    if change == "weights":
        (folder / "model.safetensors").write_bytes(b"poison!")
    elif change == "record":
        (folder / "publication.json").write_text('{"files": {}}')
    elif change == "more":
        (folder / "extra.bin").write_bytes(b"")
    elif change == "gone":
        (folder / "model.safetensors").unlink()
    command = [sys.executable, str(ROOT / "base/serving/v1/verify.py"), str(folder), wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stdout) == (int(change is not None), True)
