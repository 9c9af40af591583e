"""What a real Argo CD and a real API server refuse, and tenants that stay apart."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.e2e import platform_tree
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster, Refused
from tests.e2e.processes import holds, wait_for
from tests.e2e.scenario import Experiment
from tools.cli import main

pytestmark = pytest.mark.e2e


def test_unsigned_commit_is_not_applied(experiment: Experiment) -> None:
    """What the bot did not sign is refused by Argo CD with its reason, and no Job appears."""
    experiment.commit(signed=False)
    wait_for(lambda: "is not signed" in _refusal(experiment), "the refusal")
    assert experiment.jobs() == []


def _refusal(experiment: Experiment) -> str:
    """What Argo CD says against an Application: its conditions, its operation, and the objects of that."""
    application = experiment.argocd.application(experiment.application) or {}
    operation = experiment.argocd.operation(experiment.application)
    sources = (application.get("status") or {}).get("conditions") or []
    sources += (operation.get("syncResult") or {}).get("resources") or []
    return " ".join(each.get("message", "") for each in [*sources, operation]).strip()


def test_foreign_namespace_is_refused(experiment: Experiment) -> None:
    """An overlay that names another tenant's namespace is refused by its tenant's AppProject."""
    experiment.commit()
    experiment.started(experiment.training)
    experiment.finished()
    file = experiment.repository.work / experiment.folder / "kustomization.yaml"
    file.write_text(file.read_text().replace("team-a-training", "kube-public"), encoding="utf-8")
    experiment.push("another tenant's namespace")
    experiment.argocd.refresh(experiment.application)
    allowed = "namespace kube-public is not permitted in project 'finetuning-team-a'"
    wait_for(lambda: allowed in _refusal(experiment), "the refusal")
    assert not experiment.cluster.list("Job", "kube-public")


@pytest.mark.parametrize("forged", [False, True], ids=["as-expanded", "forged-label"])
def test_foreign_namespace_is_refused_by_admission(experiment: Experiment, built: Cache, forged: bool) -> None:
    """Were the AppProject to let it through, the API server refuses it: a Job is its namespace's tenant's alone."""
    _tenant(experiment, "team")
    experiment.authorize()
    overlay = experiment.repository.work / experiment.folder
    file = overlay / "kustomization.yaml"
    text = file.read_text(encoding="utf-8").replace("namespace: team-a-training", "namespace: team-training")
    label = "finetuning/tenant: "
    file.write_text(text.replace(f'{label}"team-a"', f'{label}"team"') if forged else text, encoding="utf-8")
    job = next(each for each in platform_tree.render(built.program("kustomize"), overlay) if each["kind"] == "Job")
    tracking = f"{experiment.application}:batch/Job:team-training/{job['metadata']['name']}"
    job["metadata"].setdefault("annotations", {})["argocd.argoproj.io/tracking-id"] = tracking
    wrong = "annotation argocd.argoproj.io/tracking-id" if forged else 'label finetuning/tenant: "team-a"'
    with pytest.raises(Refused, match=f"'finetuning-run' with binding .* denied request: {wrong}"):
        experiment.cluster.impersonating("argocd:argocd-application-controller").create(job)


def _tenant(experiment: Experiment, name: str) -> None:
    """Another tenant with its namespace, unless a test before has made it."""
    platform = experiment.repository.work
    if not (platform / "tenants" / name).exists():
        platform_tree.add_tenant(platform, name)
        platform_tree.expand(platform, "--tenants")
        experiment.push(f"tenant {name}")
    experiment.argocd.settled(f"finetuning-tenant-{name}")


def test_overlay_edited_by_hand_on_main(experiment: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    """What a hand changes in overlays/ on main is found by `ft expand --check`, and Argo CD does not look there."""
    commit = experiment.commit()
    before = experiment.started(experiment.training)
    repository, check = experiment.repository, ["expand", "--check", "--repo", str(experiment.repository.work)]
    assert main(check) == 0
    with repository.branch("main"):
        overlay = repository.work / experiment.folder
        file = overlay / "kustomization.yaml"
        file.write_text(file.read_text(encoding="utf-8").replace("0" * 64, "1" * 64), encoding="utf-8")
        shutil.copytree(overlay, overlay.with_name("by-hand"))
        capsys.readouterr()
        assert main(check) == 1
        found = "".join(capsys.readouterr())
        assert f"{experiment.folder}/kustomization.yaml" in found
        assert f"{overlay.parent.relative_to(repository.work)}/by-hand" in found
        experiment.push("edited by hand")
    experiment.argocd.refresh(experiment.application, hard=True)
    holds(lambda: experiment.argocd.application(f"{experiment.tenant}.by-hand") is None, "no Application by hand", 5)
    after = experiment.started(experiment.training)
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    assert (experiment.argocd.application(experiment.application) or {})["status"]["sync"]["revision"] == commit


def test_names_that_run_together_do_not_collide(make: Callable[[str, str], Experiment]) -> None:
    """Tenant `team` with `a-x` and tenant `team-a` with `x` have Applications, namespaces and Jobs of their own."""
    runs = [make("team", "a-x"), make("team-a", "x")]
    _tenant(runs[0], "team")
    for run in runs:
        run.authorize()
    runs[0].push("both runs at once")
    for run in runs:
        run.finished()
        assert run.jobs() == [run.training, run.publishing]


def test_namespace_with_runs_is_not_deleted(experiment: Experiment, cluster: Cluster) -> None:
    """The API server keeps a tenant's namespace, with its runs and claims, until the deletion is confirmed."""
    experiment.commit()
    experiment.started(experiment.training)
    with pytest.raises(Refused, match="finetuning/deletion-confirmed"):
        cluster.delete("Namespace", experiment.namespace)
