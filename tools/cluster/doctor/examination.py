"""All checks of one cluster, side by side, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tools.cluster.client import Cluster
from tools.cluster.doctor import checks, desired, objects
from tools.cluster.doctor.site import Site
from tools.cluster.faults import Missing, Refused
from tools.errors import UsageError
from tools.examining import Result, unseen
from tools.repository import Repository

_THREADS = 8


def site(repository: Repository, environment: str, cluster: Cluster) -> Site:
    """What is to be examined.

    Raises:
        UsageError: no such environment, or its overlays are not in this checkout.
        ToolFault: kustomize is missing, or refuses an overlay.
    """
    found = repository.environment(environment)
    if found is None:
        raise UsageError(f"there is no valid environments/{environment}.yaml; `ft validate environments` says more")
    wanted = desired.wanted(repository, environment)
    folders = desired.tenants(repository, environment)
    names = [folder.rsplit("/", 1)[1] for folder in folders]
    spaces = [item for item in wanted if item.manifest["kind"] == "Namespace" and item.folder in folders]
    namespaces = [str(item.manifest["metadata"]["name"]) for item in spaces]
    return Site(environment, found, cluster, wanted, names, namespaces)


def examine(site: Site) -> list[Result]:
    """What every check found.

    Raises:
        ClusterFault: the cluster does not answer.
    """
    site.cluster.get("/version")  # first and alone: whether there is a server at all, and a login that asks asks once
    jobs: list[Callable[[], list[Result]]] = [lambda check=check: _run(check, site) for check in checks.CHECKS]  # type: ignore[misc]
    jobs += [lambda item=item: list(objects.compare(site, item)) for item in site.wanted]  # type: ignore[misc]
    with ThreadPoolExecutor(_THREADS) as pool:
        return [result for results in pool.map(lambda job: job(), jobs) for result in results]


def _run(check: Callable[[Site], Iterator[Result]], site: Site) -> list[Result]:
    """One check; what may not be read, or is of a kind that the cluster lacks, is not to be seen."""
    results: list[Result] = []
    try:
        results += check(site)
    except (Refused, Missing) as error:
        name = check.__name__.replace("_", "-")
        results.append(unseen(name, name, str(error), "ask as somebody who may read it, or install what is missing"))
    return results
