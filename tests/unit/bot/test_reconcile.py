"""Whole rounds: real git, gpg and python-gitlab against the stand-ins of GitLab, the cluster, MLflow and Argo CD."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.audited import PLAIN
from tests.e2e.repositories import SigningKey
from tests.gitlab import bare
from tests.gitlab.site import Site, build
from tests.gitlab.standin import GitLab
from tests.unit.bot.argocd_standin import PROJECT, TOKEN, StandIn, serving
from tests.unit.bot.upkeep_scene import NOW, Scene, scene
from tools.bot.authorize import round as rounds
from tools.bot.forge import Forge
from tools.bot.mirror import Mirror, Signer
from tools.bot.report.service import Reporter
from tools.bot.store import Store
from tools.bot.upkeep import command, outcomes
from tools.bot.upkeep.argocd import ArgoCD
from tools.bot.upkeep.reconcile import reconcile, retire_finished
from tools.bot.upkeep.surroundings import Surroundings
from tools.cli import main
from tools.cluster.faults import ClusterFault, Unreachable
from tools.expand import audit
from tools.formats.audit import Audit
from tools.formats.parse import parse
from tools.yamlsource import load

APPLICATION = "team-a.plain"
PUSH = r"POST /ml/llm-finetuning\.git/git-receive-pack"


@dataclass
class World:
    """One authorized run in git, and everybody whom a round asks."""

    run: Scene
    site: Site
    argocd: StandIn
    around: Surroundings
    folder: Path
    token_file: Path

    def later(self, now: datetime) -> Surroundings:
        """The same at another time."""
        around = self.around
        return Surroundings(
            around.forge,
            around.mirror,
            around.cluster,
            around.argocd,
            around.authorize,
            around.tracking_uri,
            lambda: now,
        )

    def without(self, cluster: ClusterFault) -> Surroundings:
        """The same with a cluster that cannot be read."""
        around = self.around
        return Surroundings(
            around.forge,
            around.mirror,
            lambda _: cluster,
            around.argocd,
            around.authorize,
            around.tracking_uri,
            around.now,
        )

    def show(self, path: str, branch: str = "main") -> str | None:
        """A file on a branch, None where there is none."""
        found = bare.git(self.site.project.bare, "ls-tree", branch, path)
        return bare.git(self.site.project.bare, "show", f"{branch}:{path}") + "\n" if found else None

    def record(self) -> Audit:
        """The run's record on main."""
        text = self.show(self.run.record.file)
        assert text is not None
        file = self.folder / "record.yaml"
        file.write_text(text)
        found = parse(Audit, load(file, file.name)).value
        assert found is not None
        return found

    def message(self) -> str:
        """Of main's newest commit."""
        return bare.git(self.site.project.bare, "log", "-1", "--format=%B", "main").strip()

    def push(self, files: dict[str, bytes | None], message: str = "Change\n\nMerge-Request: !7\n") -> None:
        """A commit of the bot's on main and deployed/dev."""
        mirror = self.around.mirror
        mirror.fetch()
        base = self.site.main
        made = mirror.commit(base, files, message)
        mirror.push({"main": (base, made), "deployed/dev": (self.site.tip("deployed/dev"), made)})

    def cancel(self, *, recorded: bool = True) -> None:
        """What the authorization leaves of a cancelled run."""
        files: dict[str, bytes | None] = {
            f"{PLAIN}/{path.name}": None for path in (self.run.platform / PLAIN).iterdir()
        }
        source = "experiments/team-a/plain.yaml"
        files[source] = (self.run.platform / source).read_bytes() + b"state: cancelled\n"
        if recorded:
            files[self.run.record.file] = audit.content(outcomes.cancelled(self.run.record, "2026-11-23T11:00:00Z"))
        self.push(files)


@pytest.fixture
def world(tmp_path: Path, gitlab: GitLab, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A run that was authorized this morning; nothing else happens unless a test says so."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        run = stack.enter_context(scene(tmp_path))
        argocd = stack.enter_context(serving(StandIn(phases={APPLICATION: "Succeeded"})))
        site = build(gitlab, run.platform)
        token, role = tmp_path / "gitlab-token", tmp_path / "argocd-token"
        token.write_text(site.bot.token)
        role.write_text(TOKEN)
        forge = Forge(gitlab.url, site.project.id, site.bot.token, answer_seconds=5, patience_seconds=1)
        mirror = Mirror(tmp_path / "mirror.git", gitlab.clone_url(site.project), token, signer)
        store = Store(tmp_path / "store.sqlite")
        bot = rounds.Bot(forge, mirror, store, sleep=lambda _: None)
        around = Surroundings(
            forge=forge,
            mirror=mirror,
            cluster=lambda _: run.cluster,
            argocd=lambda _, tenant: ArgoCD(argocd.url, f"finetuning-{tenant}", role, seconds=1),
            authorize=lambda environment: rounds.authorize(bot, environment).commit or mirror.tip("main") or "",
            tracking_uri=run.mlflow.url,
            now=lambda: NOW,
        )
        yield World(run, site, argocd, around, tmp_path, role)


def test_an_outcome_is_recorded_once_in_a_signed_commit(world: World) -> None:
    """Main has it with the run's merge request as trailer; what is deployed does not move; the next round writes nothing."""
    world.run.happens("published")
    world.run.logged(version=3)
    deployed = world.site.tip("deployed/dev")
    report = reconcile(world.around, "dev")
    run_id = world.run.lock.run_id
    assert (report.done, report.faults) == ([f"recorded {run_id}: finished"], [])
    ended = world.record().last.outcome
    assert ended is not None
    assert ended.measured is not None
    assert (ended.result, ended.measured.gpu_hours) == ("finished", 1.5)
    assert world.message() == f"record the outcome of {run_id} (dev)\n\nMerge-Request: !7"
    assert world.around.mirror.is_signed(world.site.main)
    assert world.site.tip("deployed/dev") == deployed
    before = world.site.main
    assert reconcile(world.around, "dev").done == []
    assert world.site.main == before


def test_a_forgotten_publication_is_synced(world: World) -> None:
    """Argo CD gets one request; while its operation runs it gets no other."""
    world.run.happens("never-published")
    world.run.logged(version=None)
    report = reconcile(world.around, "dev")
    assert report.done == [
        f"{world.run.lock.run_id} is trained and nothing publishes it: asked Argo CD to sync {APPLICATION}"
    ]
    assert world.argocd.phases[APPLICATION] == "Running"
    world.run.happens("publishing")
    assert reconcile(world.around, "dev").done == []
    assert [line for line in world.argocd.asked if line.startswith("POST")] == [
        f"POST /api/v1/applications/{APPLICATION}/sync"
    ]


def test_a_cancelled_run_that_still_runs_is_ended(world: World) -> None:
    """A running operation blocks the deletion; once it is being ended nothing more is asked."""
    world.cancel()
    world.argocd.phases[APPLICATION] = "Running"
    report = reconcile(world.around, "dev")
    assert report.faults == []
    assert report.done == [
        f"{world.run.record.run_id} is cancelled and still runs: ended the operation of {APPLICATION}"
    ]
    assert world.argocd.phases[APPLICATION] == "Terminating"
    assert reconcile(world.around, "dev").done == []
    world.argocd.phases.clear()
    assert (reconcile(world.around, "dev").done, reconcile(world.around, "dev").faults) == ([], [])


def test_a_cancelled_runs_tokens_follow_from_mlflow(world: World) -> None:
    """Ten minutes after its end the runner has delivered; the record is completed once and then left alone."""
    world.cancel()
    world.run.logged(version=None, metrics={"tokens": [(5, 0.0, 1234.0)]})
    ended = datetime.fromisoformat("2026-11-23T11:00:00Z")
    assert reconcile(world.later(ended + timedelta(minutes=5)), "dev").done == []
    assert reconcile(world.later(ended + timedelta(days=2)), "dev").done == []
    assert reconcile(world.later(ended + timedelta(minutes=15)), "dev").done == [
        f"recorded {world.run.record.run_id}: cancelled"
    ]
    outcome = world.record().last.outcome
    assert outcome is not None
    assert outcome.measured is not None
    assert (outcome.result, outcome.measured.tokens) == ("cancelled", 1234)
    main_now = world.site.main
    assert reconcile(world.later(ended + timedelta(minutes=30)), "dev").done == []
    assert world.site.main == main_now


def test_a_cancelled_run_without_an_outcome_gets_one(world: World) -> None:
    """The authorization removed the overlay and crashed before it wrote why: nothing stays open for ever."""
    world.cancel(recorded=False)
    reconcile(world.around, "dev")
    ended = world.record().last.outcome
    assert ended is not None
    assert (ended.result, ended.at) == ("cancelled", "2026-11-23T12:00:00Z")


def finished(world: World) -> None:
    """The run is finished and recorded."""
    world.run.happens("published")
    world.run.logged(version=3)
    assert reconcile(world.around, "dev").faults == []


LATER = NOW + timedelta(days=7)


def test_a_finished_run_is_retired_and_its_record_stays(world: World) -> None:
    """The overlay leaves main and the deployed branch in one signed commit."""
    finished(world)
    assert retire_finished(world.around, "dev").done == []
    report = retire_finished(world.later(LATER), "dev")
    assert (report.done, report.faults) == ([f"retired {world.run.lock.run_id}"], [])
    for branch in ("main", "deployed/dev"):
        assert world.show(f"{PLAIN}/run.yaml", branch) is None
    assert world.record().retired_at == "2026-11-30T12:00:00Z"
    assert world.site.tip("deployed/dev") == world.site.main
    assert world.around.mirror.is_signed(world.site.main)
    assert world.message().endswith("Merge-Request: !7")
    before = world.site.main
    assert retire_finished(world.later(LATER), "dev").done == []
    assert world.site.main == before


def test_an_unpublished_run_is_never_retired(world: World) -> None:
    """However old it is."""
    world.run.happens("never-published")
    world.run.logged(version=None)
    reconcile(world.around, "dev")
    assert retire_finished(world.later(NOW + timedelta(days=3650)), "dev").done == []
    assert world.show(f"{PLAIN}/run.yaml", "deployed/dev") is not None


def test_retirement_waits_while_the_branch_must_not_move(world: World) -> None:
    """Something on main that no admin approved does not reach the cluster with it."""
    finished(world)
    bot = world.site.bot
    world.site.gitlab.push(bot, world.site.project, "main", {"Makefile": "all:\n"}, message="unsigned and direct")
    deployed = world.site.tip("deployed/dev")
    report = retire_finished(world.later(LATER), "dev")
    assert report.done == []
    assert any("retirement waits" in fault and "Makefile" in fault for fault in report.faults)
    assert world.site.tip("deployed/dev") == deployed
    assert world.show(f"{PLAIN}/run.yaml") is not None


def test_a_merge_during_the_retirement_keeps_its_verdict(world: World) -> None:
    """Main moves while the retirement is made: the newcomer is judged before the deployed branch passes it."""
    finished(world)
    merged: list[str] = []

    def merge() -> None:
        if not merged:
            source = (world.run.platform / "experiments/team-a/plain.yaml").read_bytes()
            made = world.site.propose(world.site.user("anna.nowak"), {"experiments/team-a/new.yaml": source})
            merged.append(world.site.merge("ewa.lis", made))

    world.site.gitlab.faults.before(PUSH, merge)
    report = retire_finished(world.later(LATER), "dev")
    assert merged
    assert report.done == [f"retired {world.run.lock.run_id}"]
    store = Store(world.folder / "store.sqlite")
    verdict = store.verdict(merged[0], "dev")
    assert verdict is not None
    assert [run["state"] for run in verdict["runs"]] == ["refused"]


def test_an_outcome_survives_a_main_that_moves(world: World) -> None:
    """The push is lost, the outcome is computed again over the new main, and both are there."""
    world.run.happens("published")
    world.run.logged(version=3)
    moved: list[str] = []

    def move() -> None:
        if not moved:
            moved.append(world.site.gitlab.push(world.site.bot, world.site.project, "main", {"notes.txt": "x\n"}))

    world.site.gitlab.faults.before(PUSH, move)
    assert reconcile(world.around, "dev").done == [f"recorded {world.run.lock.run_id}: finished"]
    assert world.show("notes.txt") == "x\n"
    assert world.record().last.outcome is not None


def test_a_merge_that_no_event_told_of_is_authorized(world: World, bot_key: SigningKey) -> None:
    """The webhook was lost: the next round finds the merged merge request, the run may start, and anybody can verify it."""
    source = (world.run.platform / "experiments/team-a/plain.yaml").read_text()
    path = "experiments/team-a/again.yaml"
    made = world.site.propose(world.site.user("anna.nowak"), {path: source})
    around, store = world.around, Store(world.folder / "store.sqlite")
    Reporter(around.forge, around.mirror, store, world.folder, ["dev"], around.cluster).report(made.iid)
    world.site.approve("maria.wisniewska", made)
    world.site.merge("maria.wisniewska", made)
    assert world.show("overlays/dev/team-a/again/run.yaml") is None
    reconcile(around, "dev")
    for branch in ("main", "deployed/dev"):
        assert world.show("overlays/dev/team-a/again/run.yaml", branch) is not None
    (shown,) = store.shown(made.iid, made.head)
    assert world.show(f"audit/dev/team-a/{shown.run_id}.yaml") is not None
    clone, public = world.folder / "clone", world.folder / "bot.asc"
    subprocess.run(["git", "clone", "--quiet", world.site.project.bare, clone], check=True)
    public.write_text(bot_key.public)
    overlay = clone / "overlays/dev/team-a/again"
    assert main(["verify", str(overlay), "--key", str(public), "--repo", str(clone)]) == 0


def test_a_cluster_that_is_away_is_said_and_the_rest_is_done(world: World) -> None:
    """Images are proposed all the same."""
    image = f"registry.example/ml/llama-factory-train@sha256:{'b' * 64}"
    document = {"version": 1, "image": image, "tag": "c-1", "commit": "c" * 40}
    world.site.project.artifacts["main", "build", "reports/image.json"] = json.dumps(document).encode()
    report = reconcile(world.without(Unreachable("the cluster does not answer")), "dev")
    assert report.faults == ["the cluster does not answer"]
    assert report.done == [f"opened !1: Runner image of dev: {'b' * 12}"]
    assert world.record().last.outcome is None


def test_an_argocd_that_is_away_is_said_and_asked_again(world: World) -> None:
    """The outcome is recorded although the sync could not be asked for; no token is in the message."""
    world.run.happens("never-published")
    world.run.logged(version=None)
    world.argocd.fault = 503
    report = reconcile(world.around, "dev")
    assert len(report.faults) == 1
    assert "HTTP 503" in report.faults[0]
    assert TOKEN not in report.faults[0]
    world.argocd.fault = None
    assert len(reconcile(world.around, "dev").done) == 1


def test_gitlab_away_costs_only_what_needs_it(world: World) -> None:
    """Git over HTTP answers, the REST API does not: outcomes are recorded and publications synced."""
    world.run.happens("never-published")
    world.run.logged(version=None)
    world.site.gitlab.faults.add(503, r".* /api/v4/.*", times=100)
    report = reconcile(world.around, "dev")
    assert world.argocd.phases[APPLICATION] == "Running"
    assert len(report.done) == 1
    assert all("the bot tries again later" in fault for fault in report.faults)
    assert report.faults


def test_the_command_does_a_round_from_its_settings(
    world: World, signer: Signer, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ft bot reconcile`: what was done on stdout, exit 0; with a fault on stderr and exit 3."""
    from tools.bot import settings

    world.run.happens("never-published")
    world.run.logged(version=None)
    document = {
        "version": 1,
        "url": "https://ft-bot.example",
        "work": str(world.folder / "work"),
        "environments": ["dev"],
        "gitlab": {
            "url": world.site.gitlab.url,
            "project": world.site.project.id,
            "token_file": str(world.folder / "gitlab-token"),
        },
        "signing": {"email": signer.email, "key": signer.key, "gnupghome": str(signer.gnupghome)},
        "argocd": {"dev": {"url": world.argocd.url, "tokens": {"team-a": str(world.token_file)}}},
        "kubeconfig": str(world.folder / "kubeconfig"),
        "tracking_uri": world.run.mlflow.url,
    }
    file = world.folder / "bot.yaml"
    file.write_text(json.dumps(document))
    arguments = argparse.Namespace(action="reconcile", environment=None)
    assert command.run(arguments, settings.read(file)) == 0
    assert f"dev: {world.run.lock.run_id} is trained and nothing publishes it" in capsys.readouterr().out
    assert world.argocd.seen_tokens == {TOKEN}
    assert PROJECT in json.dumps(world.argocd.bodies)
    del document["argocd"]
    file.write_text(json.dumps(document))
    assert command.run(arguments, settings.read(file)) == 3
    assert "argocd proj role create-token finetuning-team-a bot" in capsys.readouterr().err
