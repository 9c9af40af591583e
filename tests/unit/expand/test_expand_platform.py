from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.platform_copy import tree
from tools.cli import main
from tools.render.kustomize import Kustomize

DEV = "overlays/dev/_platform"
GIT = """
git:
  url: https://git.example/ml/platform.git
  signing_keys: ["0123456789ABCDEF", "FEDCBA9876543210"]
"""


def settle(platform: Path, name: str, **settings: Any) -> None:
    """Write settings into an environment."""
    file = platform / f"environments/{name}.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | settings, sort_keys=False))


def edit(file: Path, old: str, new: str) -> None:
    """Replace a text that is there."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.fixture
def expanded(bare: Path) -> Path:
    """The fixture's platform with the platform's own overlays: Kueue in prod, not in dev."""
    settle(bare, "dev", **yaml.safe_load(GIT))
    settle(bare, "prod", node_selector={})
    assert main(["expand", "--platform", "--repo", str(bare)]) == 0
    return bare


def objects(platform: Path, environment: str) -> dict[str, dict[str, Any]]:
    """What the overlay builds to: `Kind name` -> manifest."""
    command = [*Kustomize.find().command, str(platform / f"overlays/{environment}/_platform")]
    built = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {f"{found['kind']} {found['metadata']['name']}": found for found in yaml.safe_load_all(built)}


def test_every_environment_gets_an_overlay(expanded: Path) -> None:
    """`environments/platform.yaml` is none, and nothing else is written."""
    folders = {path.rpartition("/")[0] for path in tree(expanded / "overlays")}
    assert folders == {"dev/_platform", "prod/_platform"}


def test_one_environment_can_be_chosen(bare: Path) -> None:
    """A cluster's bot writes its own cluster's overlay only."""
    assert main(["expand", "--platform", "--environment", "prod", "--repo", str(bare)]) == 0
    assert {path.split("/")[0] for path in tree(bare / "overlays")} == {"prod"}


def test_the_same_environment_gives_the_same_bytes(expanded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second call changes nothing and says so."""
    before = tree(expanded / "overlays")
    capsys.readouterr()
    assert main(["expand", "--platform", "--repo", str(expanded)]) == 0
    assert capsys.readouterr().out == f"{DEV}: unchanged\noverlays/prod/_platform: unchanged\n"
    assert tree(expanded / "overlays") == before


def test_argocd_follows_the_signed_branch_of_the_environment(expanded: Path) -> None:
    """Repository, branch, folder and keys are those of environments/, in all three objects."""
    found = objects(expanded, "dev")
    project = found["AppProject finetuning-platform"]["spec"]
    source = found["Application finetuning-platform"]["spec"]["source"]
    tenants = found["ApplicationSet finetuning-tenants"]["spec"]
    url, branch = "https://git.example/ml/platform.git", "deployed/dev"
    assert project["sourceRepos"] == [url]
    assert project["signatureKeys"] == [{"keyID": "0123456789ABCDEF"}, {"keyID": "FEDCBA9876543210"}]
    assert source == {"repoURL": url, "targetRevision": branch, "path": DEV}
    generator = tenants["generators"][0]["git"]
    assert (generator["repoURL"], generator["revision"]) == (url, branch)
    assert generator["directories"] == [{"path": "overlays/dev/_tenants/*"}]
    assert tenants["template"]["spec"]["source"] == {
        "repoURL": url,
        "targetRevision": branch,
        "path": "{{ .path.path }}",
    }


def test_kueue_is_asked_for_by_the_environment(expanded: Path) -> None:
    """Kueue's kinds would be errors where it is not installed."""
    assert "ResourceFlavor finetuning" not in objects(expanded, "dev")
    assert "ResourceFlavor finetuning" in objects(expanded, "prod")


def test_kueue_chooses_no_nodes(expanded: Path) -> None:
    """What a flavor says is written into every admitted Job, those without a GPU too; where a Job may run its overlay says."""
    settle(expanded, "prod", node_selector={"pool": "training", "accelerator": "h100"})
    assert main(["expand", "--platform", "--repo", str(expanded)]) == 0
    assert "spec" not in objects(expanded, "prod")["ResourceFlavor finetuning"]


def test_without_git_there_are_rules_and_no_applications(bare: Path) -> None:
    """A cluster without Argo CD still gets its admission rules and priorities."""
    settle(bare, "dev", git=None)
    assert main(["expand", "--platform", "--environment", "dev", "--repo", str(bare)]) == 0
    kinds = {name.split()[0] for name in objects(bare, "dev")}
    assert kinds == {"ConfigMap", "PriorityClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


def test_no_argocd_setting_is_pruned(expanded: Path) -> None:
    """The ConfigMaps are Argo CD's: it must never delete its own settings, and reads them by their label."""
    maps = [found for name, found in objects(expanded, "dev").items() if name.startswith("ConfigMap ")]
    assert {found["metadata"]["name"] for found in maps} == {
        "argocd-cm",
        "argocd-cmd-params-cm",
        "argocd-notifications-cm",
    }
    for found in maps:
        assert found["metadata"]["namespace"] == "argocd"
        assert found["metadata"]["labels"]["app.kubernetes.io/part-of"] == "argocd"
        assert found["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"


def test_every_kind_is_one_that_the_project_allows(expanded: Path) -> None:
    """Argo CD refuses a kind outside the project's lists, and with it the whole sync."""
    found = objects(expanded, "prod")
    project = found["AppProject finetuning-platform"]["spec"]
    listed = project["clusterResourceWhitelist"] + project["namespaceResourceWhitelist"]
    allowed = {(entry["group"], entry["kind"]) for entry in listed}
    used = {(each["apiVersion"].rpartition("/")[0], each["kind"]) for each in found.values()}
    assert used <= allowed


def test_overlay_passes_both_checks(expanded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `ft expand --platform` wrote is what its lock gives, and what the Kubernetes API takes."""
    capsys.readouterr()
    assert main(["expand", "--check", "--repo", str(expanded)]) == 0
    assert main(["render", str(expanded / DEV), "--check", "--repo", str(expanded)]) == 0


def moved(root: Path) -> None:
    """The overlay of dev in the place of prod's."""
    shutil.rmtree(root / "overlays/prod/_platform")
    shutil.copytree(root / DEV, root / "overlays/prod/_platform")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda root: edit(root / DEV / "argocd.yaml", "deployed/dev", "main"), f"{DEV}/argocd.yaml:22 expand-changed"),
        (lambda root: edit(root / DEV / "lock.yaml", "0123456789ABCDEF", "A" * 16), f"{DEV}/lock.yaml:4 expand-hash"),
        (lambda root: (root / DEV / "argocd.yaml").unlink(), f"{DEV}/argocd.yaml:1 expand-missing"),
        (lambda root: (root / DEV / "extra.yaml").write_text("x: 1\n"), f"{DEV}/extra.yaml:1 expand-leftover"),
        (lambda root: (root / DEV / "lock.yaml").unlink(), f"{DEV}/lock.yaml:1 file-kind"),
        (moved, "overlays/prod/_platform/lock.yaml:6 expand-path"),
    ],
)
def test_tampering_is_found(
    expanded: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object], expected: str
) -> None:
    """Edited, missing and added files: Argo CD would apply them, so the check names them."""
    change(expanded)
    capsys.readouterr()
    assert main(["expand", "--check", "--format", "json", "--repo", str(expanded)]) == 1
    found = [f"{item['file']}:{item['line']} {item['rule']}" for item in json.loads(capsys.readouterr().out)]
    assert found == [expected]
