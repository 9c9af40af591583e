"""What a round works with: GitLab, the mirror, each environment's cluster and Argo CD, and a clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tools.bot.upkeep.argocd import ArgoCD, ArgoRefused
from tools.cluster.client import Cluster
from tools.cluster.faults import ClusterFault

if TYPE_CHECKING:
    from pathlib import Path

    from tools.bot.forge import Forge
    from tools.bot.mirror import Mirror
    from tools.bot.settings import BotSettings


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Surroundings:
    """The outside world of one round.

    cluster: environment -> its cluster, or why there is none. argocd: environment, tenant -> that tenant's project.
    authorize: gives everything on main its verdict for an environment; returns the commit of main that it handled.
    tracking_uri: MLflow instead of the one that each lock names. provenance_key: file with the key that signs where images come from.
    """

    forge: Forge
    mirror: Mirror
    cluster: Callable[[str], Cluster | ClusterFault]
    argocd: Callable[[str, str], ArgoCD]
    authorize: Callable[[str], str]
    tracking_uri: str | None = None
    now: Callable[[], datetime] = now
    provenance_key: Path | None = None


def of(settings: BotSettings) -> Surroundings:
    """The surroundings that the settings name, for one thread.

    Raises:
        ForgeAway, ForgeRefused: GitLab does not tell where the repository is.
    """
    from tools.bot.authorize import command
    from tools.bot.authorize import round as rounds

    def authorize(environment: str) -> str:
        result = rounds.authorize(command.open_bot(settings, environment), environment)
        return result.commit or result.main or ""

    forge = settings.open_forge()
    return Surroundings(
        forge=forge,
        mirror=settings.open_mirror(forge),
        cluster=lambda environment: cluster_of(settings, environment),
        argocd=lambda environment, tenant: argocd_of(settings, environment, tenant),
        authorize=authorize,
        tracking_uri=settings.tracking_uri,
        provenance_key=settings.signing.provenance_key_file,
    )


def cluster_of(settings: BotSettings, environment: str) -> Cluster | ClusterFault:
    """The environment's cluster, or why there is none."""
    try:
        return Cluster.connect(settings.kubeconfig, settings.contexts.get(environment))
    except ClusterFault as fault:
        return fault


def argocd_of(settings: BotSettings, environment: str, tenant: str) -> ArgoCD:
    """A tenant's project on the environment's Argo CD.

    Raises:
        ArgoRefused: the settings name none.
    """
    project = f"finetuning-{tenant}"
    known = settings.argocd.get(environment)
    if known is None or tenant not in known.tokens:
        raise ArgoRefused(
            f"the bot's settings have no token for {tenant} on Argo CD of {environment}: "
            f"`argocd proj role create-token {project} bot` into a file, and argocd.{environment}.tokens.{tenant} names it"
        )
    return ArgoCD(known.url, project, known.tokens[tenant])
