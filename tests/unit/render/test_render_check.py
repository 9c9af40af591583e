from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.platform_copy import OVERLAYS
from tools.cli import main

PLAIN = "overlays/dev/team-a/plain"
JOB, PUBLISH, CONFIG = "job.yaml", "publish.yaml", "configmap.yaml"


def findings(platform: Path, capsys: pytest.CaptureFixture[str], *overlays: str) -> list[tuple[str, str]]:
    """Rule and message of what `ft render --check` finds."""
    capsys.readouterr()
    chosen = [str(platform / overlay) for overlay in overlays] or ["--all"]
    code = main(["render", *chosen, "--check", "--format", "json", "--repo", str(platform)])
    found = json.loads(capsys.readouterr().out)
    assert code == (1 if found else 0)
    return [(item["rule"], item["message"]) for item in found]


def test_every_overlay_builds_and_is_valid_in_every_minor(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that a lock can differ in from the base gives objects that all Kubernetes minors take."""
    assert findings(platform, capsys) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "rule", "words"),
    [
        (JOB, "backoffLimit: 6", "backofLimit: 6", "render-schema", "'backofLimit' was unexpected"),
        (JOB, "completions: 1", "completions: one", "render-schema", "spec.completions"),
        (JOB, '            status: "True"', "", "render-schema", '"status" is a required property (Kubernetes 1.31-1.34)'),
        (JOB, "apiVersion: batch/v1", "apiVersion: batch/v9", "render-schema", "no kind Job of batch/v9 (Kubernetes 1.31-"),
        (CONFIG, "kind: ConfigMap", "kind: ConfigMop", "render-build", "does not exist; cannot merge"),
        (JOB, "automountServiceAccountToken: false", "automountServiceAccountToken: true", "render-facts", "automountServiceAccountToken: True; allowed: false"),
        (JOB, "        runAsNonRoot: true\n", "", "render-facts", "runAsNonRoot: nothing"),
        (JOB, "runAsUser: 10001", "runAsUser: 0", "render-facts", "runAsUser: 0"),
        (JOB, "type: RuntimeDefault", "type: Unconfined", "render-facts", "Unconfined"),
        (JOB, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "render-facts", "readOnlyRootFilesystem"),
        (JOB, "drop: [ALL]", "drop: [NET_RAW]", "render-facts", "NET_RAW"),
        (JOB, "drop: [ALL]", "drop: [ALL]\n              add: [SYS_ADMIN]", "render-facts", "SYS_ADMIN"),
        (JOB, "image: llama-factory-train", "image: other:latest", "render-facts", "by digest"),
        (JOB, "enableServiceLinks: false", "enableServiceLinks: false\n      hostNetwork: true", "render-facts", "hostNetwork"),
        (JOB, "  backoffLimit: 6", "  ttlSecondsAfterFinished: 60\n  backoffLimit: 6", "render-facts", "ttlSecondsAfterFinished"),
        (JOB, "  backoffLimit: 6", "  suspend: true\n  backoffLimit: 6", "render-facts", "spec.suspend"),
        (JOB, "subPath: output", "subPath: output\n            - {name: storage, mountPath: /storage/models}", "render-facts", "no mount that reaches /storage/models/merged-model"),
        (JOB, "subPath: output", "subPath: output\n            - {name: storage, mountPath: /storage/evaluation}", "render-facts", "no mount that reaches /storage/evaluation"),
        (JOB, "          emptyDir:\n            sizeLimit: 5Gi", "          hostPath: {path: /}", "render-facts", "hostPath"),
        (PUBLISH, "hook: PostSync", "hook: PostSink", "render-facts", "PostSink"),
        (PUBLISH, "BeforeHookCreation", "BeforeHookCreated", "render-facts", "BeforeHookCreated"),
        (PUBLISH, "argocd.argoproj.io/hook:", "argocd.argoproj.io/hok:", "render-facts", "no annotation of Argo CD but"),
        (PUBLISH, "hook: PostSync", 'hook: PostSync\n    argocd.argoproj.io/sync-wave: "one"', "render-facts", "a whole number"),
        (JOB, "  labels:  ", "  annotations: {argocd.argoproj.io/sync-options: Replace=true}\n  labels:  ", "render-facts", "Replace=true"),
    ],
)  # fmt: skip
def test_a_fault_in_the_base_is_found(
    platform: Path, capsys: pytest.CaptureFixture[str], file: str, old: str, new: str, rule: str, words: str
) -> None:
    """Wrong keys, values and kinds, weakened security and misspelt annotations are each named."""
    path = platform / "base/training/v1" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    found = findings(platform, capsys, PLAIN)
    assert any(name == rule and words in message for name, message in found), found


def test_a_broken_overlay_is_named_among_many(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Overlays are built together, yet the finding stands at the one that does not build."""
    (platform / PLAIN / "kustomization.yaml").write_text("resources: [nowhere]\n")
    capsys.readouterr()
    assert main(["render", "--all", "--check", "--format", "json", "--repo", str(platform)]) == 1
    [finding] = json.loads(capsys.readouterr().out)
    assert finding["file"] == f"{PLAIN}/kustomization.yaml"
    assert finding["rule"] == "render-build"


def test_an_overlay_that_builds_to_nothing_is_found(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A build without objects passes every schema; it is a fault all the same."""
    (platform / PLAIN / "kustomization.yaml").write_text("namePrefix: x-\nresources: []\n")
    assert [rule for rule, _ in findings(platform, capsys)] == ["render-objects"]


@pytest.mark.parametrize("overlay", OVERLAYS.values())
def test_printing_gives_what_kustomize_builds(platform: Path, capsys: pytest.CaptureFixture[str], overlay: str) -> None:
    """`ft render` prints manifests that can be applied as they are."""
    capsys.readouterr()
    assert main(["render", str(platform / overlay), "--repo", str(platform)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("apiVersion: v1\ndata:\n")
    assert text.count("\nkind: Job\n") == (1 if overlay.endswith("adapter-only") else 2)


@pytest.mark.parametrize("arguments", [[], ["overlays/dev/team-a"], ["experiments/team-a/plain.yaml"]])
def test_what_is_no_overlay_is_wrong_usage(platform: Path, arguments: list[str]) -> None:
    """Exit code 2 with an example of what to give."""
    assert main(["render", *(str(platform / path) for path in arguments), "--repo", str(platform)]) == 2
