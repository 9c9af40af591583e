"""`state: cancelled` from the merge request to the empty namespace: the bot's own code, the real Argo CD, a GitLab stand-in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.argocd import NAMESPACE, ArgoCD
from tests.e2e.argocd_server import ArgoCDServer
from tests.e2e.cluster import Cluster, Manifest, has
from tests.e2e.processes import wait_for
from tests.e2e.repositories import Repository, SigningKey
from tests.e2e.scenario import Experiment
from tests.gitlab.model import Merge
from tests.gitlab.site import Site, build
from tests.gitlab.standin import GitLab
from tools.bot.authorize import round as rounds
from tools.bot.forge import Forge
from tools.bot.mirror import Mirror, Signer
from tools.bot.report.service import Reporter
from tools.bot.store import Store
from tools.bot.upkeep.argocd import ArgoAway
from tools.bot.upkeep.argocd import ArgoCD as Client
from tools.bot.upkeep.reconcile import reconcile
from tools.bot.upkeep.surroundings import Surroundings
from tools.cluster.faults import ClusterFault, Unreachable
from tools.formats.audit import Audit
from tools.repository import Repository as Platform

pytestmark = pytest.mark.e2e

TENANT, NAME, PROJECT = "team-a", "cancel-through-bot", "finetuning-by-bot"
FILE = f"experiments/{TENANT}/{NAME}.yaml"
MEMBER, APPROVER = "anna.nowak", "maria.wisniewska"


@dataclass
class Bot:
    """The bot with its GitLab, and the run that it lets start."""

    site: Site
    forge: Forge
    mirror: Mirror
    store: Store
    argocd: Client
    experiment: Experiment
    folder: Path

    def propose(self, text: str, title: str) -> Merge:
        """A merge request of a member's, with the bot's comment."""
        made = self.site.propose(self.site.user(MEMBER), {FILE: text}, title=title)
        Reporter(self.forge, self.mirror, self.store, self.folder, ["dev"], _no_cluster).report(made.iid)
        return made

    def round(self, *, told: bool = True) -> rounds.Result:
        """What the bot does after a push to main; `told`: whether Argo CD hears of its commit."""
        bot = rounds.Bot(self.forge, self.mirror, self.store, terminate=self._terminate, sleep=lambda _: None)
        result = rounds.authorize(bot, "dev")
        if told:
            self.experiment.argocd.refresh_sets()
        return result

    def _terminate(self, tenant: str, name: str) -> None:
        with suppress(ArgoAway):  # as `ft bot authorize` does: the cancellation is in git, and `reconcile` asks again
            self.argocd.terminate(f"{tenant}.{name}")

    def reconcile(self) -> list[str]:
        """A round of repair; nothing of it goes wrong but the look at the cluster, which this bot may not take."""
        around = Surroundings(
            forge=self.forge,
            mirror=self.mirror,
            cluster=_no_cluster,
            argocd=lambda _environment, _tenant: self.argocd,
            authorize=lambda _environment: self.round(told=False).commit or self.mirror.tip("main") or "",
        )
        return reconcile(around, "dev").done

    def record(self) -> Audit:
        """The run's audit record on main."""
        self.mirror.fetch()
        tip = self.mirror.tip("main")
        assert tip is not None
        tree = self.folder / tip
        self.mirror.materialise(tip, tree)
        found = Platform(tree).optional(f"audit/dev/{TENANT}/{self.experiment.run_id}.yaml", Audit)
        assert found is not None
        return found


def _no_cluster(_environment: str) -> ClusterFault:
    return Unreachable("the bot of this test has no kubeconfig")


@pytest.fixture
def bot(
    tmp_path: Path, repository: Repository, argocd: ArgoCD, argocd_server: ArgoCDServer, key: SigningKey
) -> Iterator[Bot]:
    """The platform once more in a project of GitLab's, followed by a project and an ApplicationSet of its own."""
    platform = tmp_path / "platform"
    shutil.copytree(repository.work, platform, ignore=shutil.ignore_patterns(".git"))
    shutil.rmtree(platform / "overlays" / "dev" / TENANT, ignore_errors=True)
    gitlab = GitLab(tmp_path / "gitlab").start()
    experiment = Experiment(argocd.cluster, argocd, repository, TENANT, NAME)
    try:
        site = build(gitlab, platform)
        token, role = tmp_path / "gitlab-token", tmp_path / "argocd-token"
        token.write_text(site.bot.token)
        signer = Signer("Bot", "bot@example.invalid", key.fingerprint, key.home)
        mirror = Mirror(tmp_path / "mirror.git", gitlab.clone_url(site.project), token, signer)
        argocd.cluster.apply(*_following(argocd.cluster, site.project.bare.as_uri()))
        wait_for(lambda: has(argocd.cluster.get("ApplicationSet", PROJECT, NAMESPACE), "ResourcesUpToDate"), PROJECT)
        role.write_text(argocd_server.role_token(PROJECT))
        yield Bot(
            site=site,
            forge=Forge(gitlab.url, site.project.id, site.bot.token),
            mirror=mirror,
            store=Store(tmp_path / "store.sqlite"),
            argocd=Client(argocd_server.url, PROJECT, role),
            experiment=experiment,
            folder=tmp_path,
        )
    finally:
        if experiment.phase() == "Running":
            argocd.terminate(experiment.application)
        argocd.cluster.delete("ApplicationSet", PROJECT, NAMESPACE)
        experiment.gone()
        argocd.cluster.delete("AppProject", PROJECT, NAMESPACE)
        gitlab.stop()


def _following(cluster: Cluster, url: str) -> list[Manifest]:
    """The tenant's project, the bot's role included, and its ApplicationSet, with another name and repository."""
    project = cluster.get("AppProject", f"finetuning-{TENANT}", NAMESPACE) or {}
    applications = cluster.get("ApplicationSet", f"finetuning-{TENANT}", NAMESPACE) or {}
    project["spec"]["sourceRepos"] = [url]
    for role in project["spec"]["roles"]:
        role["policies"] = [policy.replace(f"finetuning-{TENANT}", PROJECT) for policy in role["policies"]]
        role.pop("jwtTokens", None)
    applications["spec"]["generators"][0]["git"] |= {"repoURL": url, "revision": "deployed/dev"}
    template = applications["spec"]["template"]["spec"]
    template["project"] = PROJECT
    template["source"] |= {"repoURL": url, "targetRevision": "deployed/dev"}
    return [_renamed(project), _renamed(applications)]


def _renamed(manifest: Manifest) -> Manifest:
    metadata = {"name": PROJECT, "namespace": NAMESPACE}
    return {part: manifest[part] for part in ("apiVersion", "kind", "spec")} | {"metadata": metadata}


def started(bot: Bot) -> None:
    """Propose, approve, merge: the run trains and Argo CD's operation waits for it."""
    (text,) = bot.site.experiment(TENANT, NAME).values()
    made = bot.propose(str(text), "An experiment to cancel")
    bot.site.approve(APPROVER, made)
    bot.site.merge(APPROVER, made)
    result = bot.round()
    assert [each.state for each in result.decided] == ["authorized"], result
    (shown,) = bot.store.shown(made.iid, made.head)
    bot.experiment.run_id = shown.run_id
    bot.experiment.started(bot.experiment.training)
    bot.experiment.reaches("Running")


def cancel(bot: Bot) -> Merge:
    """A member merges a merge request of their own that sets `state: cancelled`."""
    (text,) = bot.site.experiment(TENANT, NAME).values()
    made = bot.propose(f"{text!s}state: cancelled\n", "Cancel it")
    bot.site.merge(MEMBER, made)
    return made


def test_a_merged_cancellation_ends_the_run(bot: Bot) -> None:
    """The bot removes the overlay, and ends the operation with its project's token: Application and Jobs are gone."""
    started(bot)
    cancel(bot)
    result = bot.round()
    assert [each.state for each in result.decided] == ["cancelled"], result
    bot.experiment.gone()
    outcome = bot.record().last.outcome
    assert outcome is not None
    assert outcome.result == "cancelled"
    assert bot.site.tip("deployed/dev") == bot.site.main
    bot.reconcile()
    assert bot.reconcile() == []


def test_a_cancellation_that_argocd_did_not_hear_is_repeated(bot: Bot) -> None:
    """Argo CD's API was away when the run was cancelled: the next round ends what still runs."""
    started(bot)
    cancel(bot)
    url, bot.argocd.url = bot.argocd.url, "http://127.0.0.1:9"
    bot.round()
    wait_for(lambda: _deleting(bot.experiment), f"the deletion of {bot.experiment.application}")
    assert bot.experiment.phase() == "Running"
    assert bot.experiment.job(bot.experiment.training) is not None
    bot.argocd.url = url
    done = bot.reconcile()
    assert any(f"ended the operation of {bot.experiment.application}" in line for line in done), done
    bot.experiment.gone()
    assert bot.record().last.outcome is not None


def _deleting(experiment: Experiment) -> bool:
    application = experiment.argocd.application(experiment.application)
    return application is not None and "deletionTimestamp" in application["metadata"]
