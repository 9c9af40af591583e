"""Bots that die, race and lose: after each of it one more round leaves every run authorized exactly once."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.authorizing import EXP, OVERLAY, Bank, signing
from tests.gitlab import bare
from tests.gitlab.fixtures import gitlab, site
from tests.gitlab.model import Merge
from tests.gitlab.site import Site
from tools.bot.authorize import deploying
from tools.bot.authorize.round import Bot, authorize
from tools.bot.errors import PushLost
from tools.expand import check

__all__ = ["gitlab", "signing", "site"]
FORK = multiprocessing.get_context("fork")
# Every call of a round that something outside this process notices, in their order: object, method.
CALLS = [
    ("mirror", "fetch"),
    ("mirror", "materialise"),
    ("mirror", "commit"),
    ("store", "save_intent"),
    ("mirror", "push"),
    ("store", "save_verdict"),
    ("store", "drop_intent"),
]


@pytest.fixture
def bank(site: Site, tmp_path: Path, signing: tuple[Path, str]) -> Bank:
    """The bank with an approved experiment that waits for the bot."""
    (tmp_path / "bot").mkdir()
    found = Bank(site, tmp_path / "bot", *signing)
    found.merged()
    return found


def die() -> None:
    """As `kill -9` does it."""
    os.kill(os.getpid(), signal.SIGKILL)


def dies(holder: object, method: str, when: str) -> None:
    """Let a method kill the process before or after its work."""
    real: Callable[..., Any] = getattr(holder, method)

    def deadly(*arguments: Any, **named: Any) -> Any:
        if when == "after":
            real(*arguments, **named)
        die()

    setattr(holder, method, deadly)


def in_a_process(act: Callable[[], object]) -> int:
    """Run something in a child; its exit code."""
    child = FORK.Process(target=act)
    child.start()
    child.join(120)
    assert child.exitcode is not None
    return child.exitcode


def authorized_once(bank: Bank, landed: str) -> None:
    """One overlay, one record with one attempt, one commit that authorizes; the verdict is there and the tree is sound."""
    assert f"{OVERLAY}/run.yaml" in bank.names("overlays/dev/team-a/")
    [record] = bank.audits()
    assert [entry.attempt for entry in record.attempts] == [1]
    log = bare.git(bank.site.project.bare, "log", "--format=%s", "main")
    assert log.splitlines().count("dev: authorize team-a/exp-002") == 1
    assert bank.site.tip("deployed/dev") == bank.site.main
    verdict = bank.bot().store.verdict(landed, "dev")
    assert verdict is not None
    assert [(run["experiment"], run["state"]) for run in verdict["runs"]] == [(EXP, "authorized")]
    with bank.files() as repository:
        assert check.check(repository).findings == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", CALLS, ids=".".join)
def test_a_bot_killed_between_any_two_calls_loses_and_doubles_nothing(
    bank: Bank, call: tuple[str, str], when: str
) -> None:
    """The next round finds what was left undone and leaves alone what was done."""
    landed = bank.site.main

    def act() -> None:
        bot = bank.bot()
        dies(getattr(bot, call[0]), call[1], when)
        authorize(bot, "dev")

    assert in_a_process(act) == -signal.SIGKILL
    bank.round(commit=landed)
    authorized_once(bank, landed)
    assert bank.round().commit is None
    authorized_once(bank, landed)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_bot_killed_at_its_last_step_of_a_cancellation_ends_the_operation_later(bank: Bank, when: str) -> None:
    """Pushed and not yet told to Argo CD: the next round tells it."""
    bank.round()
    site = bank.site
    merge = site.propose(site.user("anna.nowak"), site.experiment(state="cancelled"))
    site.merge("anna.nowak", merge)

    def act() -> None:
        bot = bank.bot()
        if when == "before":
            killing = Bot(bot.forge, bot.mirror, bot.store, terminate=lambda _tenant, _name: die())
        else:
            dies(bot.mirror, "push", "after")
            killing = bot
        authorize(killing, "dev")

    assert in_a_process(act) == -signal.SIGKILL
    assert bank.terminated == []
    bank.round()
    assert bank.terminated == [("team-a", "exp-002")]
    bank.round()
    assert bank.terminated == [("team-a", "exp-002")]
    assert not bank.names("overlays/dev/team-a/exp-002")


def test_two_bots_at_once_authorize_once(bank: Bank, tmp_path: Path) -> None:
    """The second one finishes a whole round between the first one's decision and its push, which then changes nothing."""
    landed = bank.site.main
    first, second = bank.bot(), bank.bot(tmp_path / "second")
    push = first.mirror.push
    raced: list[str | None] = []

    def late(branches: Any) -> None:
        if not raced:
            raced.append(authorize(Bot(second.forge, second.mirror, first.store), "dev").commit)
        push(branches)

    first.mirror.push = late  # type: ignore[method-assign]
    result = authorize(first, "dev", landed)
    assert raced == [bank.site.main]
    assert result.commit in (None, bank.site.main)  # the very same commit, where both decided in the same second
    authorized_once(bank, landed)


def test_four_bots_in_four_processes_authorize_once(bank: Bank, tmp_path: Path) -> None:
    """Each with a mirror of its own and the store that they share, all at the same moment."""
    landed = bank.site.main
    start = FORK.Barrier(4)

    def act(number: int) -> None:
        bot = bank.bot(tmp_path / f"bot-{number}")
        shared = Bot(bot.forge, bot.mirror, bank.bot().store)
        start.wait(60)
        authorize(shared, "dev")

    children = [FORK.Process(target=act, args=(number,)) for number in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(180)
    assert [child.exitcode for child in children] == [0, 0, 0, 0]
    bank.round(commit=landed)
    authorized_once(bank, landed)


def test_a_merge_between_decision_and_push_is_decided_too(bank: Bank) -> None:
    """Main moves while the bot works: it starts over and both are in its commit."""
    bot = bank.bot()
    push = bot.mirror.push
    moved: list[Merge] = []

    def late(branches: Any) -> None:
        if not moved:
            moved.append(bank.merged(bank.site.experiment(name="exp-003")))
        push(branches)

    bot.mirror.push = late  # type: ignore[method-assign]
    result = authorize(bot, "dev")
    assert result.commit == bank.site.main == bank.site.tip("deployed/dev")
    assert sorted(record.experiment for record in bank.audits()) == ["exp-002", "exp-003"]


def test_a_main_that_never_stands_still_ends_in_a_fault(bank: Bank) -> None:
    """After a few tries the bot gives up until the next round; nothing of the last try is left."""
    bot = bank.bot()
    push = bot.mirror.push

    def late(branches: Any) -> None:
        number = len(bank.site.project.merges)
        bank.merged({f"tenants/team-a/datasets/d{number}.yaml": "version: 1\n"}, branch=f"d{number}")
        push(branches)

    bot.mirror.push = late  # type: ignore[method-assign]
    with pytest.raises(PushLost):
        authorize(bot, "dev")
    assert bank.audits() == []
    assert bank.round().commit is not None


def test_a_tree_with_faults_is_not_committed(bank: Bank) -> None:
    """`ft expand --check` looks at the whole tree that would be pushed, before there is a commit."""
    bot = bank.bot()
    bot.mirror.fetch()
    main = bank.site.main
    broken = {"overlays/dev/team-a/exp-001/train.yaml": b"[]\n"}
    with pytest.raises(deploying.CheckFailed, match=r"overlays/dev/team-a/exp-001/train\.yaml"):
        deploying.commit(bot.mirror, "dev", main, broken, "x", deploy=True)
    assert bank.site.main == main


def test_a_commit_that_is_not_deployed_moves_main_alone(bank: Bank) -> None:
    """An outcome goes to main; the cluster's branch waits for the next authorization."""
    bot = bank.bot()
    bot.mirror.fetch()
    main, deployed = bank.site.main, bank.site.tip("deployed/dev")
    message = deploying.message("dev: record", [9, 7, 7])
    made = deploying.commit(bot.mirror, "dev", main, {}, message, deploy=False)
    assert (bank.site.main, bank.site.tip("deployed/dev")) == (made, deployed)
    assert message == "dev: record\n\nMerge-Request: !7\nMerge-Request: !9\n"
