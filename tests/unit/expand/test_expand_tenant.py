"""What a tenant's overlay builds to, as a cluster would get it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.platform_copy import OVERLAYS, tree
from tools.cli import main
from tools.expand import sizing, tenant_sizes
from tools.expand.tenant_network import mlflow_egress
from tools.formats.environment import Mlflow
from tools.render.documents import pod, read
from tools.render.kustomize import Kustomize

PLAIN, OWN_NAMESPACE, FULL = (
    "overlays/dev/_tenants/team-a",
    "overlays/dev/_tenants/team-b",
    "overlays/prod/_tenants/team-a",
)
CLUSTER_WIDE = {"Namespace", "PersistentVolume", "ClusterQueue"}
UNITS = {"": 1, "m": 1e-3, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def built(platform: Path, *overlays: str) -> list[dict[str, Any]]:
    """The objects that overlays build to, together."""
    results = list(Kustomize.find().build(platform, overlays))
    assert [result.fault for result in results if result.fault] == []
    return [manifest for result in results for manifest in read(result.manifests)]


def named(platform: Path, overlay: str) -> dict[str, dict[str, Any]]:
    """An overlay's objects by `<kind>/<name>`."""
    return {f"{found['kind']}/{found['metadata']['name']}": found for found in built(platform, overlay)}


def number(quantity: str) -> float:
    """A Kubernetes quantity as a number."""
    digits = quantity.rstrip("mMGTi")
    return float(digits) * UNITS[quantity.removeprefix(digits)]


@pytest.mark.parametrize("overlay", [PLAIN, OWN_NAMESPACE, FULL])
def test_every_object_is_the_tenants(platform: Path, overlay: str) -> None:
    """Labels name tenant and environment; namespaced objects are in its namespace, or in Argo CD's."""
    _, environment, _, tenant = overlay.split("/")
    found = built(platform, overlay)
    [namespace] = [each["metadata"]["name"] for each in found if each["kind"] == "Namespace"]
    for each in found:
        labels = each["metadata"]["labels"]
        assert (labels["finetuning/tenant"], labels["finetuning/environment"]) == (tenant, environment)
        expected = {"AppProject": "argocd", "ApplicationSet": "argocd"}.get(each["kind"], namespace)
        assert each["metadata"].get("namespace") == (None if each["kind"] in CLUSTER_WIDE else expected)


@pytest.mark.parametrize("overlay", [PLAIN, OWN_NAMESPACE, FULL])
def test_no_placeholder_of_the_base_is_left(platform: Path, overlay: str) -> None:
    """Whatever base/ says for `every overlay` is replaced by the lock's."""
    text = yaml.safe_dump_all(built(platform, overlay))
    for placeholder in (
        "finetuning-tenant",
        "namespace: tenant",
        "deployed/env",
        "git.example",
        "nfs.example",
        "key: tenant",
    ):
        assert placeholder not in text


def test_the_namespace_is_restricted(platform: Path) -> None:
    """Pod Security refuses, warns and records what is not restricted, and Argo CD asks before it removes the namespace."""
    metadata = named(platform, OWN_NAMESPACE)["Namespace/risk-models"]["metadata"]
    for mode in ("enforce", "audit", "warn"):
        assert metadata["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"
    assert metadata["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=confirm,Delete=confirm"


def test_pods_reach_dns_and_mlflow_and_nothing_else(platform: Path) -> None:
    """All policies together: everything denied, then two ways out and none in."""
    policies = [each["spec"] for each in built(platform, PLAIN) if each["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies
    assert [policy for policy in policies if policy.get("ingress")] == []
    ways = [
        (rule["to"], {port["port"] for port in rule["ports"]}) for each in policies for rule in each.get("egress", [])
    ]
    dns = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    assert sorted(ways, key=str) == sorted([([dns], {53}), ([{"ipBlock": {"cidr": "192.0.2.10/32"}}], {5000})], key=str)


@pytest.mark.parametrize(
    ("mlflow", "peers", "port"),
    [
        (Mlflow(tracking_uri="http://mlflow.ml.svc:5000"), [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ml"}}}], 5000),
        (Mlflow(tracking_uri="https://mlflow.ml.svc.cluster.local", pod_port=8080), [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ml"}}}], 8080),
        (Mlflow(tracking_uri="https://mlflow.bank.example/base", cidrs=["192.0.2.0/28"]), [{"ipBlock": {"cidr": "192.0.2.0/28"}}], 443),
        (Mlflow(tracking_uri="http://192.0.2.7:5000"), [{"ipBlock": {"cidr": "192.0.2.7/32"}}], 5000),
        (Mlflow(tracking_uri="http://[2001:db8::7]:5000"), [{"ipBlock": {"cidr": "2001:db8::7/128"}}], 5000),
    ],
)  # fmt: skip
def test_the_way_to_mlflow_follows_from_its_address(mlflow: Mlflow, peers: list[Any], port: int) -> None:
    """A Service is found by its namespace, anything else by address; the port is the one that packets carry."""
    assert mlflow_egress(mlflow) == [{"to": peers, "ports": [{"protocol": "TCP", "port": port}]}]


def test_an_mlflow_that_nothing_locates_is_not_reached() -> None:
    """No rule rather than one that lets everything out."""
    assert mlflow_egress(Mlflow(tracking_uri="https://mlflow.bank.example")) == []


@pytest.mark.parametrize("experiment", OVERLAYS)
def test_every_run_fits_the_limits_of_its_tenant(platform: Path, experiment: str) -> None:
    """No container asks for more than the LimitRange and the quota take, publishing the largest model included."""
    _, environment, tenant, _ = OVERLAYS[experiment].split("/")
    own = named(platform, f"overlays/{environment}/_tenants/{tenant}")
    largest = own["LimitRange/finetuning"]["spec"]["limits"][0]["max"]
    hard = own["ResourceQuota/finetuning"]["spec"]["hard"]
    for job in (each for each in built(platform, OVERLAYS[experiment]) if each["kind"] == "Job"):
        resources = pod(job)["containers"][0]["resources"]
        for name, amount in resources["limits"].items():
            assert number(amount) <= number(largest.get(name, hard.get(f"requests.{name}")))
            assert number(amount) <= number(hard.get(f"limits.{name}", amount))


def test_side_jobs_are_sized_as_the_jobs_without_a_gpu() -> None:
    """The quota's share for them is what `sizing` gives a training Job without a GPU."""
    requests, limits = sizing.CPU_ONLY["requests"], sizing.CPU_ONLY["limits"]
    assert (requests["cpu"], requests["memory"]) == (
        str(tenant_sizes.SIDE_REQUEST_CPUS),
        f"{tenant_sizes.SIDE_REQUEST_GIB}Gi",
    )
    assert (limits["cpu"], limits["memory"]) == (str(tenant_sizes.SIDE_LIMIT_CPUS), f"{tenant_sizes.SIDE_LIMIT_GIB}Gi")


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0"), (200, "200Gi"), (1024, "1Ti"), (1536, "1536Gi"), (2**20, "1Pi")]
)
def test_quantities_are_written_as_the_api_server_writes_them(amount: int, text: str) -> None:
    """Otherwise Argo CD would find a difference for ever."""
    assert tenant_sizes.gib(amount) == text


def test_people_look_and_touch_nothing(platform: Path) -> None:
    """Reading verbs only, no secrets, no exec; the group is the environment's."""
    found = named(platform, FULL)
    rules = found["Role/finetuning-viewer"]["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert {"secrets", "pods/exec", "*"} & {resource for rule in rules for resource in rule["resources"]} == set()
    assert [subject["name"] for subject in found["RoleBinding/finetuning-viewer"]["subjects"]] == ["ml-team-a-people"]
    assert found["ServiceAccount/default"]["automountServiceAccountToken"] is False


def test_claims_come_from_the_storage_class(platform: Path) -> None:
    """Without NFS exports the environment's StorageClass makes them, and there is no volume in git."""
    found = named(platform, PLAIN)
    storage, models = (found[f"PersistentVolumeClaim/{name}"]["spec"] for name in ("storage", "base-models"))
    assert storage == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "nfs",
        "resources": {"requests": {"storage": "200Gi"}},
    }
    assert (models["accessModes"], models["resources"]["requests"]) == (["ReadOnlyMany"], {"storage": "500Gi"})
    assert found["ResourceQuota/finetuning"]["spec"]["hard"]["requests.storage"] == "700Gi"
    assert not any(name.startswith("PersistentVolume/") for name in found)


def test_claims_come_from_the_tenants_own_exports(platform: Path) -> None:
    """With NFS each claim has one volume of its own, which nobody else can claim and nothing deletes."""
    found = named(platform, FULL)
    for claim, path in (("team-storage", "/exports/llm/tenants/team-a"), ("shared-models", "/exports/llm/base-models")):
        volume = found[f"PersistentVolume/team-a-training.{claim}"]["spec"]
        spec = found[f"PersistentVolumeClaim/{claim}"]["spec"]
        assert (spec["storageClassName"], spec["volumeName"]) == ("", f"team-a-training.{claim}")
        assert (volume["nfs"]["path"], volume["persistentVolumeReclaimPolicy"]) == (path, "Retain")
        assert (volume["claimRef"]["namespace"], volume["claimRef"]["name"]) == ("team-a-training", claim)
        assert volume["capacity"] == spec["resources"]["requests"] == {"storage": "200Gi"}
    assert found["PersistentVolume/team-a-training.shared-models"]["spec"]["nfs"]["readOnly"] is True


def test_a_raised_quota_changes_no_claim_on_nfs(platform: Path) -> None:
    """Kubernetes refuses to resize a claim whose volume was made by hand, and the export has a quota of its own."""
    before = named(platform, FULL)["PersistentVolumeClaim/team-storage"]
    file = platform / "tenants/team-a/tenant.yaml"
    file.write_text(file.read_text().replace("  gpus: 16\n", "  gpus: 16\n  storage_gib: 900\n"))
    assert main(["expand", "--tenants", "--repo", str(platform)]) == 0
    assert named(platform, FULL)["PersistentVolumeClaim/team-storage"] == before
    assert named(platform, PLAIN)["PersistentVolumeClaim/storage"]["spec"]["resources"]["requests"] == {
        "storage": "900Gi"
    }


@pytest.mark.parametrize("overlay", [PLAIN, FULL])
def test_argo_cd_removes_no_storage(platform: Path, overlay: str) -> None:
    """Neither pruning nor deleting the Application takes a claim or a volume away."""
    for each in built(platform, overlay):
        if each["kind"].startswith("PersistentVolume"):
            assert each["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"


def test_admission_gets_the_tenants_limits(platform: Path) -> None:
    """Texts only, under the names that the admission policies read."""
    assert named(platform, FULL)["ConfigMap/tenant-limits"]["data"] == {
        "tenant": "team-a",
        "environment": "prod",
        "uid": "10001",
        "gid": "10001",
        "gpus": "16",
        "claims": "team-storage,shared-models",
        "image": "registry.example:5050/ml/llama-factory-train",
        "queue": "finetuning",
    }
    assert named(platform, OWN_NAMESPACE)["ConfigMap/tenant-limits"]["data"]["queue"] == ""


def test_the_queue_covers_all_that_a_queued_run_asks_for(platform: Path) -> None:
    """Kueue never admits a Job that asks for a resource which its ClusterQueue lacks."""
    found = named(platform, FULL)
    [group] = found["ClusterQueue/finetuning-team-a"]["spec"]["resourceGroups"]
    nominal = {entry["name"]: entry["nominalQuota"] for entry in group["flavors"][0]["resources"]}
    assert list(nominal) == group["coveredResources"]
    job = next(
        each
        for each in built(platform, "overlays/prod/team-a/large")
        if each["kind"] == "Job" and "-a1" in each["metadata"]["name"]
    )
    for name, amount in pod(job)["containers"][0]["resources"]["requests"].items():
        assert number(amount) <= number(nominal[name])
    assert found["LocalQueue/finetuning"]["spec"]["clusterQueue"] == "finetuning-team-a"


def test_borrowed_gpus_are_limited_and_fit_the_quota(platform: Path) -> None:
    """The quota takes what Kueue may admit beyond the tenant's own share; one Job still asks for its own GPUs at most."""
    found = named(platform, FULL)
    [flavor] = found["ClusterQueue/finetuning-team-a"]["spec"]["resourceGroups"][0]["flavors"]
    gpus = next(entry for entry in flavor["resources"] if entry["name"] == "nvidia.com/gpu")
    assert gpus == {"name": "nvidia.com/gpu", "nominalQuota": "16", "borrowingLimit": "4"}
    assert found["ResourceQuota/finetuning"]["spec"]["hard"]["requests.nvidia.com/gpu"] == "20"
    hard = named(platform, PLAIN)["ResourceQuota/finetuning"]["spec"]["hard"]
    assert hard["requests.nvidia.com/gpu"] == "16"  # without Kueue nobody takes a lent GPU back


def test_argo_cd_may_touch_a_runs_kinds_in_one_namespace(platform: Path) -> None:
    """No cluster kinds, one repository, one key, one namespace of this cluster; children of Jobs are there to be seen."""
    spec = named(platform, FULL)["AppProject/finetuning-team-a"]["spec"]
    assert spec["sourceRepos"] == ["https://gitlab.example/ml/platform.git"]
    assert spec["destinations"] == [{"server": "https://kubernetes.default.svc", "namespace": "team-a-training"}]
    assert spec["signatureKeys"] == [{"keyID": "0123456789ABCDEF"}]
    assert spec["clusterResourceWhitelist"] == []
    kinds = {entry["kind"] for entry in spec["namespaceResourceWhitelist"]}
    assert kinds == {"Job", "JobSet", "NetworkPolicy", "ConfigMap", "Pod", "Workload"}
    rights = {role["name"]: [policy.split(", ")[2:] for policy in role["policies"]] for role in spec["roles"]}
    everything = ["finetuning-team-a/*", "allow"]
    assert rights["viewer"] == [["applications", "get", *everything], ["logs", "get", *everything]]
    assert rights["bot"] == [["applications", "get", *everything], ["applications", "sync", *everything]]


def test_project_and_namespace_of_applications_are_literals(platform: Path) -> None:
    """A folder's name chooses the Application's name and path, and nothing else."""
    spec = named(platform, FULL)["ApplicationSet/finetuning-team-a"]["spec"]
    application = spec["template"]["spec"]
    assert (application["project"], application["destination"]["namespace"]) == ("finetuning-team-a", "team-a-training")
    assert application["source"] == {
        "repoURL": "https://gitlab.example/ml/platform.git",
        "targetRevision": "deployed/prod",
        "path": "{{ .path.path }}",
    }
    assert spec["template"]["metadata"]["name"] == "team-a.{{ .path.basename }}"
    assert spec["generators"][0]["git"]["directories"] == [{"path": "overlays/prod/team-a/*"}]
    assert spec["goTemplateOptions"] == ["missingkey=error"]


def test_applications_never_train_again_by_themselves(platform: Path) -> None:
    """Kueue's fields are ignored, nothing heals itself, only its own folder renders it again, and cancelling removes the Job."""
    template = named(platform, FULL)["ApplicationSet/finetuning-team-a"]["spec"]["template"]
    policy = template["spec"]["syncPolicy"]
    assert policy["automated"] == {"prune": True, "selfHeal": False, "allowEmpty": False}
    assert "RespectIgnoreDifferences=true" in policy["syncOptions"]
    assert not [option for option in policy["syncOptions"] if option.startswith(("Replace", "Force", "ApplyOutOfSync"))]
    ignored = {entry["kind"]: entry["jsonPointers"] for entry in template["spec"]["ignoreDifferences"]}
    assert all("/spec/suspend" in ignored[kind] for kind in ("Job", "JobSet"))
    assert template["metadata"]["annotations"]["argocd.argoproj.io/manifest-generate-paths"] == "."
    assert template["metadata"]["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]


def test_notifications_go_where_the_environment_says(platform: Path) -> None:
    """Each trigger of base/argocd/config, to the tenant's own address."""
    annotations = named(platform, FULL)["ApplicationSet/finetuning-team-a"]["spec"]["template"]["metadata"][
        "annotations"
    ]
    prefix = "notifications.argoproj.io/subscribe."
    told = {key.removeprefix(prefix): value for key, value in annotations.items() if key.startswith(prefix)}
    address = "team-a@bank.example"
    assert told == dict.fromkeys([f"finetuning-{event}.email" for event in ("started", "succeeded", "failed")], address)


def test_prometheus_is_let_in_only_where_the_environment_names_it(platform: Path) -> None:
    """To training pods, on their port, from that namespace; locks of other environments do not change by a byte."""
    before = tree(platform / PLAIN)
    file = platform / "environments/prod.yaml"
    file.write_text(f"{file.read_text()}monitoring: observability\n")
    assert main(["expand", "--tenants", "--repo", str(platform)]) == 0
    spec = named(platform, FULL)["NetworkPolicy/allow-metrics"]["spec"]
    assert spec["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "training"}
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}]
    assert spec["ingress"] == [{"from": peers, "ports": [{"protocol": "TCP", "port": 9464}]}]
    assert tree(platform / PLAIN) == before
    assert main(["expand", "--check", "--repo", str(platform)]) == 0


def test_a_credential_is_a_reference(platform: Path) -> None:
    """Git holds where the secret lies, never what it says; without a store a person creates it."""
    secret = named(platform, FULL)["ExternalSecret/mlflow-credentials"]["spec"]
    assert secret["secretStoreRef"]["name"] == "vault"
    assert {entry["remoteRef"]["key"] for entry in secret["data"]} == {"finetuning/team-a/mlflow"}
    assert not [name for name in named(platform, PLAIN) if "Secret" in name]


def test_an_environment_without_git_has_no_applications(platform: Path) -> None:
    """A cluster that nothing deploys to still has its tenants' namespaces."""
    assert not {each["kind"] for each in built(platform, PLAIN)} & {"AppProject", "ApplicationSet", "ClusterQueue"}


def test_tenants_whose_names_run_together_share_nothing(platform: Path) -> None:
    """Tenants `team`, `team-a` and `team-a-b` build together and no object of one has the name of another's."""
    for number_, name in enumerate(("team", "team-a-b")):
        text = (platform / "tenants/team-a/tenant.yaml").read_text()
        (platform / f"tenants/{name}").mkdir()
        (platform / f"tenants/{name}/tenant.yaml").write_text(f"{text}uid: 3000{number_}\ngid: 3000{number_}\n")
    assert main(["expand", "--tenants", "--repo", str(platform)]) == 0
    overlays = [f"overlays/prod/_tenants/{name}" for name in ("team", "team-a", "team-a-b")]
    found = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in built(platform, *overlays)
    ]
    assert len(found) == 3 * len(built(platform, overlays[0]))
    assert len(set(found)) == len(found)


def test_the_same_lock_gives_the_same_bytes(platform: Path) -> None:
    """Writing a tenant's overlay again changes nothing."""
    before = tree(platform / "overlays")
    shutil.rmtree(platform / FULL)
    assert main(["expand", "--tenants", "--repo", str(platform)]) == 0
    assert tree(platform / "overlays") == before
