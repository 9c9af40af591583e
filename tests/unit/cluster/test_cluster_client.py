"""Which cluster is read, how the login goes, and what each kind of refusal becomes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.cluster.conftest import Scene
from tests.unit.cluster.standin import kubeconfig
from tools.cluster.client import Cluster
from tools.cluster.faults import ClusterFault, Missing, Refused, Unreachable
from tools.errors import UsageError

_PLUGIN = """\
import json, os
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": {"token": "from-plugin"}}))
"""


def test_a_token_is_sent(scene: Scene) -> None:
    """The kubeconfig's token goes with every request."""
    scene.api.answers["/version"] = {"minor": "34"}
    assert Cluster.connect(scene.kubeconfig).get("/version") == {"minor": "34"}
    assert scene.api.asked[-1][2]["authorization"] == "Bearer a-token"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_login_plugin_is_run(version: str, scene: Scene, tmp_path: Path) -> None:
    """An exec plugin of either API version gives the token."""
    plugin = tmp_path / "plugin.py"
    plugin.write_text(_PLUGIN)
    command = {"command": sys.executable, "args": [str(plugin)], "interactiveMode": "Never"}
    login = {"apiVersion": f"client.authentication.k8s.io/{version}", **command}
    scene.api.answers["/version"] = {}
    Cluster.connect(kubeconfig(tmp_path, scene.api.url, exec=login)).get("/version")
    assert scene.api.asked[-1][2]["authorization"] == "Bearer from-plugin"


def test_the_context_is_the_one_that_is_asked_for(scene: Scene, tmp_path: Path) -> None:
    """--context chooses; one that is not there is wrong usage."""
    content = yaml.safe_load(scene.kubeconfig.read_text())
    content["contexts"].append({"name": "other", "context": {"cluster": "standin", "user": "anna"}})
    file = tmp_path / "two"
    file.write_text(yaml.safe_dump(content))
    assert Cluster.connect(file).context == "standin"
    assert Cluster.connect(file, "other").context == "other"
    with pytest.raises(UsageError, match="--context NAME"):
        Cluster.connect(file, "third")


def test_kubeconfig_variable_is_followed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBECONFIG names the file, as for kubectl."""
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(scene.kubeconfig))
    assert Cluster.connect().server == scene.api.url


def test_unchecked_certificates_are_refused(scene: Scene, tmp_path: Path) -> None:
    """A context that switches TLS verification off is not used."""
    content = yaml.safe_load(scene.kubeconfig.read_text())
    content["clusters"][0]["cluster"] = {"server": "https://127.0.0.1:9", "insecure-skip-tls-verify": True}
    file = tmp_path / "insecure"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ClusterFault, match="certificate-authority"):
        Cluster.connect(file)


@pytest.mark.parametrize(
    ("status", "fault"), [(401, Unreachable), (403, Refused), (404, Missing), (500, Unreachable), (503, Unreachable)]
)
def test_refusals_are_told_apart(status: int, fault: type[ClusterFault], scene: Scene) -> None:
    """Who is unknown, who may not, what is missing and what is broken are different situations."""
    scene.api.status = status
    with pytest.raises(fault, match="the stand-in says no"):
        Cluster.connect(scene.kubeconfig).get("/version")


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'"text"', b""])
def test_what_is_no_api_server_is_unreachable(body: bytes, scene: Scene) -> None:
    """A proxy's page or an empty answer is a fault of the way there, not a traceback."""
    scene.api.answers["/version"] = body
    with pytest.raises(Unreachable):
        Cluster.connect(scene.kubeconfig).get("/version")


def test_long_lists_come_page_by_page(scene: Scene) -> None:
    """The continue token is followed to the end."""
    first = {"items": [{"n": 1}], "metadata": {"continue": "token"}}
    pages = iter([first, {"items": [{"n": 2}], "metadata": {}}])
    answer = scene.api.answer
    scene.api.answer = lambda path, selector="": (
        (200, next(pages)) if path == "/api/v1/pods" else answer(path, selector)
    )  # type: ignore[method-assign]
    assert Cluster.connect(scene.kubeconfig).items("/api/v1/pods") == [{"n": 1}, {"n": 2}]
    assert "continue=token" in scene.api.asked[-1][1]
