"""What the bot proposes to serve, what it closes, and where MLflow's alias points: python-gitlab and git against the stand-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.authorizing import Bank, signing
from tests.gitlab import bare
from tests.gitlab.fixtures import gitlab
from tests.gitlab.standin import GitLab
from tests.promoting import ANNA, FILE, MARIA, NAME, files, open_bank, promoted, recall, serves
from tests.unit.cluster.standin import StandIn, serving
from tools.bot.forge import Forge
from tools.bot.promote import aliases
from tools.bot.promote.proposing import Proposer
from tools.bot.upkeep import git
from tools.bot.upkeep.reconcile import reconcile
from tools.bot.upkeep.surroundings import Surroundings
from tools.cluster.faults import ClusterFault
from tools.formats.audit import Audit
from tools.models.versions import Versions

__all__ = ["gitlab", "signing"]
Banked = tuple[Bank, tuple[Audit, Audit]]


@pytest.fixture
def banked(gitlab: GitLab, tmp_path: Path, signing: tuple[Path, str]) -> Banked:
    """Two versions that passed, 3 and 4; nothing is served."""
    return open_bank(gitlab, tmp_path, signing)


def propose(bank: Bank, uri: str = "http://127.0.0.1:9") -> list[str]:
    """What a round does; MLflow is away unless a test says where it is."""
    bot = bank.bot()
    assert isinstance(bot.forge, Forge)
    with git.checkout(bot.mirror) as (base, repository):
        return Proposer(bot.forge, bot.mirror, repository, base, Versions(uri)).propose("dev")


def test_the_newest_version_that_passed_is_proposed_once(banked: Banked) -> None:
    """Its file alone, unsigned, with run, hash, data and cost in the description; not again while open, nor once closed."""
    bank, (_, second) = banked
    (done,) = propose(bank)
    (merge,) = bank.site.project.merges.values()
    assert done == f"opened !{merge.iid}: Serve {NAME} version 4 in dev"
    assert bare.git(bank.site.project.bare, "show", f"{merge.source_branch}:{FILE}") + "\n" == files(second)[FILE]
    changed = bare.git(bank.site.project.bare, "diff", "--name-only", "main", merge.source_branch)
    assert changed == FILE
    assert not bank.bot().mirror.is_signed(bank.site.tip(merge.source_branch))
    said = (second.run_id, serves(second).publication, "customer-topics", "GPU-hours", "now nothing")
    assert [words for words in said if words not in merge.description] == []
    assert propose(bank) == []
    bank.site.gitlab.close(bank.site.root, bank.site.project, merge)
    assert propose(bank) == []


def test_the_tenants_approvers_alone_allow_what_the_bot_proposed(banked: Banked) -> None:
    """The bot is no member of the tenant, and no platform admin is needed for that."""
    bank, (_, second) = banked
    propose(bank)
    (merge,) = bank.site.project.merges.values()
    bank.site.approve(MARIA, merge)
    bank.site.merge(MARIA, merge)
    (decided,) = bank.round().promoted
    assert (decided.state, decided.served) == ("promoted", serves(second))


def test_a_proposal_is_closed_once_it_is_stale(banked: Banked) -> None:
    """Somebody served the version by hand, or its data was recalled: the bot says why and closes its own, not others'."""
    bank, (first, second) = banked
    propose(bank)
    (merge,) = bank.site.project.merges.values()
    other = bank.site.propose(bank.site.user(ANNA), {"experiments/team-a/exp-009.yaml": "version: 1\n"})
    bank.site.merge(ANNA, bank.site.propose(bank.site.user(ANNA), recall(first), branch="recall"))
    assert propose(bank) == [f"closed !{merge.iid}: Serve {NAME} version 4 in dev"]
    assert (merge.state, other.state) == ("closed", "opened")
    assert "recalled meanwhile" in merge.notes[-1].body
    assert second.run_id in merge.description


def test_what_is_served_is_not_proposed(banked: Banked) -> None:
    """Neither the served version nor an older one."""
    bank, (_, second) = banked
    promoted(bank, second)
    assert propose(bank) == []


def versions(uri: StandIn, champion: int | None) -> None:
    """MLflow has versions 3 and 4, and the alias points to one of them."""
    pointed = [{"alias": "champion", "version": str(champion)}] if champion else []
    uri.answers = {
        "/api/2.0/mlflow/registered-models/get": {"registered_model": {"name": NAME, "aliases": pointed}},
        "/api/2.0/mlflow/model-versions/search": {
            "model_versions": [{"name": NAME, "version": number} for number in ("3", "4")]
        },
        "/api/2.0/mlflow/registered-models/alias": {},
    }


@pytest.mark.parametrize(
    ("served", "champion", "done"),
    [
        (1, 3, "champion is version 4"),
        (1, None, "champion is version 4"),
        (1, 4, None),
        (None, 4, "no champion any more"),
    ],
)
def test_the_alias_follows_what_is_served(
    banked: Banked, served: int | None, champion: int | None, done: str | None
) -> None:
    """After a promotion, where somebody moved it by hand, where it is right already, and after the end of it."""
    bank, both = banked
    promoted(bank, both[1])
    if served is None:
        bank.site.merge(ANNA, bank.site.propose(bank.site.user(ANNA), {FILE: None}))
        bank.round()
    with serving(StandIn()) as mlflow, bank.files() as repository:
        versions(mlflow, champion)
        assert list(aliases.align(repository, "dev", Versions(mlflow.url))) == ([f"{NAME}: {done}"] if done else [])
        moved = [
            method for method, path, _ in mlflow.asked if path.startswith("/api/2.0/mlflow/registered-models/alias")
        ]
    assert moved == ([] if done is None else ["DELETE" if served is None else "POST"])


def test_a_round_proposes_moves_the_alias_and_names_what_is_recalled(banked: Banked) -> None:
    """`ft bot reconcile`: after a promotion the alias; after a recall of what is served a fault that says what to do."""
    bank, (first, _) = banked
    bot = bank.bot()
    assert isinstance(bot.forge, Forge)
    with serving(StandIn()) as mlflow:
        versions(mlflow, None)
        around = Surroundings(
            forge=bot.forge,
            mirror=bot.mirror,
            cluster=lambda _: ClusterFault("nothing runs"),
            argocd=lambda _environment, _tenant: pytest.fail("nothing is to be synced"),
            authorize=lambda environment: bank.round(environment).main or "",
            tracking_uri=mlflow.url,
        )
        promoted(bank, first)
        report = reconcile(around, "dev")
        assert report.faults == []
        assert [line.partition(":")[0].partition(" !")[0] for line in report.done] == ["opened", NAME]
        bank.site.merge(ANNA, bank.site.propose(bank.site.user(ANNA), recall(first), branch="recall"))
        versions(mlflow, 3)
        report = reconcile(around, "dev")
        (fault,) = report.faults
        assert f"{NAME} in dev serves {first.run_id}, trained on data that recalls/" in fault
        assert [line.partition(" !")[0] for line in report.done] == ["closed"]
