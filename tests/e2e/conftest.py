"""A control plane and an Argo CD for the whole session, a tenant with a repository of its own for each test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from tests.e2e import argocd as argo
from tests.e2e import argocd_server as argocd_server_program
from tests.e2e import binaries, control_plane, platform_tree
from tests.e2e.argocd import ArgoCD
from tests.e2e.argocd_server import ArgoCDServer
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster
from tests.e2e.control_plane import ControlPlane
from tests.e2e.processes import Programs, wait_for
from tests.e2e.repositories import Repository, SigningKey, signing_key
from tests.e2e.scenario import Experiment, bootstrap


@pytest.fixture(scope="session", autouse=True)
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM runs the fixtures' ends, as ^C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def built() -> Cache:
    """The programs, which `make e2e` builds."""
    try:
        return binaries.existing()
    except binaries.Missing as missing:
        pytest.exit(str(missing), returncode=3)


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of everything that runs; the programs' logs are in its folder `log`."""
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def programs(state: Path) -> Iterator[Programs]:
    """What runs in the background, stopped at the end of the session."""
    with Programs(state / "log") as programs:
        yield programs


@pytest.fixture(scope="session")
def plane(built: Cache, state: Path, programs: Programs) -> ControlPlane:
    """A control plane of our own."""
    if os.environ.get("E2E_KUBECONFIG"):
        pytest.skip("stops and starts a control plane of its own, and E2E_KUBECONFIG names a cluster")
    return control_plane.start(built, state / "control-plane", programs)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, built: Cache, programs: Programs) -> Cluster:
    """The cluster under test: that of E2E_KUBECONFIG, else one of our own."""
    given = os.environ.get("E2E_KUBECONFIG")
    if not given:
        plane: ControlPlane = request.getfixturevalue("plane")
        return plane.cluster
    cluster = Cluster.connect(Path(given), built.program("kubectl"), programs)
    wait_for(cluster.ready, f"the cluster of {given}", 30)
    _fit(cluster)
    return cluster


def _fit(cluster: Cluster) -> None:
    """Leave a user's cluster alone unless it fits: the tests bring their own Argo CD and finish pods themselves."""
    if cluster.get("Namespace", argo.NAMESPACE) is not None:
        pytest.exit("the cluster of E2E_KUBECONFIG has a namespace argocd; the tests bring their own: use another", 3)
    open_nodes = [node["metadata"]["name"] for node in cluster.list("Node") if not node["spec"].get("unschedulable")]
    if open_nodes:
        pytest.exit(f"the tests finish pods themselves: first `kubectl cordon {' '.join(open_nodes)}`", 3)


@pytest.fixture(scope="session")
def key(state: Path) -> Iterator[SigningKey]:
    """The bot's signing key."""
    with signing_key(state / "bot") as key:
        yield key


@pytest.fixture(scope="session")
def argocd(built: Cache, cluster: Cluster, state: Path, programs: Programs, key: SigningKey) -> Iterator[ArgoCD]:
    """Argo CD as its own manifests install it, with the bot's public key."""
    with argo.running(built, cluster, state / "argocd", programs, {key.key_id: key.public}) as argocd:
        yield argocd


@pytest.fixture(scope="session")
def repository(built: Cache, cluster: Cluster, argocd: ArgoCD, state: Path, key: SigningKey) -> Repository:
    """The platform in git, without runs yet, and in the cluster: bootstrapped once by hand, as its README says."""
    repository = Repository(state, key)
    platform_tree.copy(repository.work, repository.url, key.key_id)
    platform_tree.expand(repository.work, "--platform", "--tenants")
    repository.push("the platform")
    bootstrap(built.program("kustomize"), cluster, argocd, repository.work)
    return repository


@pytest.fixture
def make(argocd: ArgoCD, cluster: Cluster, repository: Repository) -> Iterator[Callable[[str, str], Experiment]]:
    """Make an experiment of a tenant and a name; afterwards it is cancelled."""
    made: list[Experiment] = []

    def make(tenant: str, name: str) -> Experiment:
        made.append(Experiment(cluster, argocd, repository, tenant, name))
        return made[-1]

    yield make
    for experiment in made:
        if experiment.authorized:
            experiment.cancelled()


@pytest.fixture
def experiment(make: Callable[[str, str], Experiment], request: pytest.FixtureRequest) -> Experiment:
    """An experiment of team-a with the text of exp-001, named after the test, not yet committed."""
    name = request.node.name.removeprefix("test_").translate(str.maketrans("_[", "--", "]"))
    return make("team-a", name[:40].rstrip("-"))


@pytest.fixture(scope="module")
def argocd_server(argocd: ArgoCD, repository: Repository) -> Iterator[ArgoCDServer]:
    """Argo CD's API server beside the platform, for the tests of one module."""
    assert repository.url
    with argocd_server_program.running(argocd) as server:
        yield server
