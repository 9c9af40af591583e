"""From merged merge requests to signed commits: GitLab's stand-in over HTTP, real git, real gpg, a real store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.authorizing import EXP, OVERLAY, Bank, signing
from tests.gitlab import bare
from tests.gitlab.fixtures import gitlab, site
from tests.gitlab.model import Merge, Role
from tests.gitlab.site import ROOT, Site
from tools.bot.authorize.round import authorize
from tools.bot.errors import ForgeAway, MirrorFault
from tools.errors import UsageError
from tools.expand import check
from tools.formats.people import Person

__all__ = ["gitlab", "signing", "site"]
DATASET = "tenants/team-a/datasets/customer-topics.yaml"


@pytest.fixture
def bank(site: Site, tmp_path: Path, signing: tuple[Path, str]) -> Bank:
    """The bank, with nothing proposed yet."""
    (tmp_path / "bot").mkdir()
    return Bank(site, tmp_path / "bot", *signing)


def text(path: str) -> str:
    """A file of this repository."""
    return (ROOT / path).read_text()


def with_key(path: str, **keys: Any) -> dict[str, str]:
    """One of this repository's files with other values at the top."""
    return {path: yaml.safe_dump({**yaml.safe_load(text(path)), **keys}, sort_keys=False)}


# --- what is written --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["merge", "squash", "ff", "squash-ff"])
def test_an_approved_experiment_is_authorized_once(bank: Bank, how: str) -> None:
    """However it was merged: overlay and audit record in one signed commit that names the merge request, and no second one."""
    merge = bank.merged(how=how)
    landed = bank.site.main
    result = bank.round()
    assert (result.obstacles, bank.reasons(result)) == ((), "")
    assert result.commit == bank.site.main == bank.site.tip("deployed/dev")
    assert f"{OVERLAY}/run.yaml" in bank.names("overlays/dev/team-a/")
    message = bare.git(bank.site.project.bare, "log", "-1", "--format=%B", "main")
    assert message == f"dev: authorize team-a/exp-002\n\nMerge-Request: !{merge.iid}"
    mirror = bank.bot().mirror
    mirror.fetch()
    assert mirror.is_signed(bank.site.main)
    assert mirror.parents(bank.site.main) == (landed,)
    assert bank.round().commit is None
    assert len(bank.audits()) == 1


def test_lock_and_record_say_who_allowed_what(bank: Bank) -> None:
    """People with their numbers, times, merge request, commit and hashes; the whole tree passes `ft expand --check`."""
    merge = bank.merged()
    landed = bank.site.main
    bank.round()
    with bank.files() as repository:
        assert [f.message for f in check.check(repository).findings] == []
        lock = repository.lock(f"{OVERLAY}/run.yaml")
    [record] = bank.audits()
    assert lock.authorized is not None
    assert (lock.authorized.merge_request, lock.authorized.commit) == (merge.iid, landed)
    allowed = record.last.authorized
    maria, anna = Person(username="maria.wisniewska", id=201), Person(username="anna.nowak", id=101)
    assert (allowed.author, allowed.merged_by, allowed.commit) == (anna, maria, landed)
    assert [(each.user, each.role) for each in allowed.approvals] == [(maria, "approver")]
    assert (record.sha256, record.run_id) == (lock.sha256, lock.run_id)


def test_the_verdict_is_kept_for_comment_and_pipeline(bank: Bank) -> None:
    """By the commit that the pipeline of main runs for, and for the bot's own commit too."""
    merge = bank.merged()
    landed = bank.site.main
    result = bank.round()
    store = bank.bot().store
    found = store.verdict(landed, "dev")
    assert found is not None
    assert found["state"] == "decided"
    [run] = found["runs"]
    assert (run["experiment"], run["state"], run["merge_request"], run["reasons"]) == (EXP, "authorized", merge.iid, [])
    assert result.commit is not None
    assert store.verdict(result.commit, "dev") == {"state": "decided", "runs": [], "reasons": []}


def test_several_merge_requests_in_one_round(bank: Bank) -> None:
    """Each experiment has its own verdict; one commit names all merge requests."""
    one = bank.merged()
    other = bank.merged(bank.site.experiment(name="exp-003"))
    refused = bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment(name="exp-004"))
    bank.show(refused)
    bank.site.merge("anna.nowak", refused)
    result = bank.round()
    assert {each.candidate.file: each.state for each in result.decided} == {
        EXP: "authorized",
        "experiments/team-a/exp-003.yaml": "authorized",
        "experiments/team-a/exp-004.yaml": "refused",
    }
    message = bare.git(bank.site.project.bare, "log", "-1", "--format=%B", "main")
    for merge in (one, other):
        assert f"\nMerge-Request: !{merge.iid}" in message
    assert not bank.names("overlays/dev/team-a/exp-004")
    verdict = bank.bot().store.verdict(bare.git(bank.site.project.bare, "rev-parse", "main^"), "dev")
    assert verdict is not None
    assert [run["state"] for run in verdict["runs"]] == ["refused"]


def test_each_environment_has_its_own_branch(bank: Bank) -> None:
    """A run for prod is left to prod's round, and its commit leaves dev where it is."""
    bank.merged(bank.site.experiment(environment="prod", resources={"gpus": 1, "time_limit": "1h"}))
    assert bank.round("dev").commit is None
    dev = bank.site.tip("deployed/dev")
    result = bank.round("prod")
    assert result.commit == bank.site.tip("deployed/prod")
    assert bank.site.tip("deployed/dev") == dev
    assert bank.names("overlays/prod/team-a/exp-002")


# --- who is refused ---------------------------------------------------------------------------------------------------
def direct_push(bank: Bank) -> None:
    """Main is open to a person for a moment."""
    bank.site.project.protected["main"].pushers.add(bank.site.root.id)
    bank.site.gitlab.push(bank.site.root, bank.site.project, "main", bank.site.experiment())


def self_approval(bank: Bank) -> None:
    """Maria proposes and approves."""
    merge = bank.site.propose(bank.site.user("maria.wisniewska"), bank.site.experiment())
    bank.ready(merge)
    bank.site.merge("anna.nowak", merge)


def approver_pushed(bank: Bank) -> None:
    """Maria corrects the branch herself, in Anna's name, and approves then."""
    site, anna = bank.site, bank.site.user("anna.nowak")
    merge = site.propose(anna, site.experiment())
    forged = f"{anna.username} <{anna.email}>"
    site.gitlab.push(
        site.user("maria.wisniewska"),
        site.project,
        merge.source_branch,
        site.experiment(description="b"),
        author=forged,
    )
    bank.ready(merge)
    site.merge("anna.nowak", merge)


def late_push(bank: Bank, **claimed: Any) -> None:
    """Anna pushes after the approval."""
    site, anna = bank.site, bank.site.user("anna.nowak")
    merge = bank.ready(site.propose(anna, site.experiment()))
    site.gitlab.push(anna, site.project, merge.source_branch, site.experiment(description="c"), **claimed)
    bank.show(merge)
    site.merge("anna.nowak", merge)


def backdated(bank: Bank) -> None:
    """The same, with a commit that says it is a year old."""
    late_push(bank, when=bank.site.gitlab.clock.now().replace(year=2025))


def approved_after_the_merge(bank: Bank) -> None:
    """Anna merges, Maria approves then."""
    merge = bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment())
    bank.show(merge)
    bank.site.merge("anna.nowak", merge)
    bank.site.approve("maria.wisniewska", merge)


def own_approver(bank: Bank) -> None:
    """The merge request lists mallory as an approver, and she approves it; an admin lets the list pass."""
    tenant = yaml.safe_load(text("tenants/team-a/tenant.yaml"))
    tenant["approvers"].append({"username": "mallory", "id": 666})
    files = {**bank.site.experiment(), "tenants/team-a/tenant.yaml": yaml.safe_dump(tenant)}
    merge = bank.ready(bank.site.propose(bank.site.user("anna.nowak"), files), "mallory", "piotr.admin")
    bank.site.merge("anna.nowak", merge)


def approver_removed(bank: Bank) -> None:
    """Maria approves, leaves the team, and only then is it merged."""
    merge = bank.ready(bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment()))
    tenant = yaml.safe_load(text("tenants/team-a/tenant.yaml"))
    tenant["approvers"] = [person for person in tenant["approvers"] if person["id"] != 201]
    leaves = bank.site.propose(
        bank.site.user("ewa.admin"), {"tenants/team-a/tenant.yaml": yaml.safe_dump(tenant)}, branch="leaves"
    )
    bank.site.approve("piotr.admin", leaves)
    bank.site.merge("ewa.admin", leaves)
    bank.site.merge("anna.nowak", merge)


def never_shown(bank: Bank) -> None:
    """The bot was away while it was approved."""
    merge = bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment())
    bank.site.approve("maria.wisniewska", merge)
    bank.site.merge("anna.nowak", merge)


def shown_something_else(bank: Bank) -> None:
    """The dataset's manifest changes between the comment and the merge."""
    merge = bank.ready(bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment()))
    other = bank.site.propose(bank.site.user("jan.kowalski"), with_key(DATASET, sha256="0" * 64), branch="data")
    bank.site.merge("jan.kowalski", other)
    bank.site.merge("anna.nowak", merge)


def high_priority(bank: Bank) -> None:
    """Approved by the tenant alone."""
    bank.merged(bank.site.experiment(priority="high"))


def too_long(bank: Bank) -> None:
    """Longer than the tenant's limit, approved by the tenant alone."""
    bank.merged(bank.site.experiment(resources={"gpus": 1, "time_limit": "3d"}))


def foreigner(bank: Bank) -> None:
    """Somebody of no tenant proposes an experiment of team-a's."""
    merge = bank.ready(bank.site.propose(bank.site.mallory, bank.site.experiment()))
    bank.site.merge("anna.nowak", merge)


def faulty(bank: Bank) -> None:
    """A dataset that is not there: the comment shows no run."""
    merge = bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment(datasets=["gone"]))
    bank.site.approve("maria.wisniewska", merge)
    bank.site.merge("maria.wisniewska", merge)


def a_fork_that_is_gone(bank: Bank) -> None:
    """Nobody can say any more who pushed there."""
    site, anna = bank.site, bank.site.user("anna.nowak")
    fork = site.gitlab.fork(site.project, anna)
    merge = bank.ready(site.propose(anna, site.experiment(), source=fork))
    site.merge("maria.wisniewska", merge)
    fork.members.clear()


REFUSED: dict[Callable[[Bank], None], str] = {
    direct_push: "without a merged merge request",
    self_approval: "it is the author's own",
    approver_pushed: "this user pushed to the merge request",
    late_push: "before the last push",
    backdated: "before the last push",
    approved_after_the_merge: "after the merge",
    own_approver: "before the merge neither the tenant's approvers nor",
    approver_removed: "before the merge neither the tenant's approvers nor",
    never_shown: "never showed what this commit would run",
    shown_something_else: "main now gives",
    high_priority: "because priority is high",
    too_long: "the tenant's limit is 2d",
    faulty: 'experiments/team-a/exp-002.yaml:6:3: team-a has no dataset "gone"',
    foreigner: "the author is no member of team-a",
    a_fork_that_is_gone: "it is not known who pushed",
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
def test_who_is_refused(bank: Bank, case: Callable[[Bank], None]) -> None:
    """No overlay, no record, and a reason that says what was found and what to do."""
    case(bank)
    result = bank.round()
    assert REFUSED[case] in bank.reasons(result), (bank.reasons(result), result.obstacles)
    assert not bank.names("overlays/dev/team-a/exp-002")
    assert bank.audits() == []
    assert bank.round().refused != () or bank.site.main == bank.site.tip("deployed/dev")


@pytest.mark.parametrize("keys", [{"priority": "high"}, {"resources": {"gpus": 1, "time_limit": "3d"}}], ids=str)
def test_a_platform_admin_allows_more(bank: Bank, keys: dict[str, Any]) -> None:
    """High priority and long runs start with one more approval, by an admin."""
    merge = bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment(**keys))
    bank.ready(merge, "maria.wisniewska", "piotr.admin")
    bank.site.merge("maria.wisniewska", merge)
    assert bank.round().commit is not None
    [record] = bank.audits()
    assert {each.role for each in record.last.authorized.approvals} == {"approver", "admin"}


def test_a_renamed_account_stays_the_same_person(bank: Bank) -> None:
    """The approver's user name has changed since tenant.yaml was written; her number has not."""
    bank.site.user("maria.wisniewska").username = "maria.nowak"
    merge = bank.ready(bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment()), "maria.nowak")
    bank.site.merge("anna.nowak", merge)
    assert bank.round().commit is not None


def test_somebody_elses_account_under_an_approvers_name_is_nobody(bank: Bank) -> None:
    """The name is free for all; the number is not."""
    bank.site.user("maria.wisniewska").username = "maria.nowak"
    bank.site.mallory.username = "maria.wisniewska"
    merge = bank.ready(bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment()))
    bank.site.merge("anna.nowak", merge)
    assert "(id 666) does not count" in bank.reasons(bank.round())


def test_an_approver_who_leaves_after_the_merge_has_approved(bank: Bank) -> None:
    """What counts is tenant.yaml as it was before the merge."""
    bank.merged()
    tenant = yaml.safe_load(text("tenants/team-a/tenant.yaml"))
    tenant["approvers"] = tenant["approvers"][1:]
    leaves = bank.site.propose(bank.site.user("ewa.admin"), {"tenants/team-a/tenant.yaml": yaml.safe_dump(tenant)})
    bank.site.approve("piotr.admin", leaves)
    bank.site.merge("ewa.admin", leaves)
    result = bank.round()
    assert (bank.reasons(result), result.obstacles) == ("", ())
    assert len(bank.audits()) == 1


def test_a_fork_counts_like_a_branch(bank: Bank) -> None:
    """Push events come from the fork's own project."""
    site, anna = bank.site, bank.site.user("anna.nowak")
    fork = site.gitlab.fork(site.project, anna)
    fork.grant(site.bot, Role.REPORTER)
    merge = bank.ready(site.propose(anna, site.experiment(), source=fork))
    site.merge("maria.wisniewska", merge)
    assert bank.round().commit is not None


def test_older_servers_date_approvals_in_the_history(bank: Bank) -> None:
    """Without approved_at the system notes say when."""
    bank.site.gitlab.shows_approved_at = False
    bank.merged()
    late_push_of_another = bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment(name="exp-003"))
    bank.show(late_push_of_another)
    bank.site.merge("anna.nowak", late_push_of_another)
    bank.site.approve("maria.wisniewska", late_push_of_another)
    result = bank.round()
    assert [each.state for each in result.decided] == ["authorized", "refused"]
    assert "after the merge" in bank.reasons(result)


@pytest.mark.parametrize(("days", "known"), [(30, True), (200, False)])
def test_a_branch_that_was_pushed_long_before(bank: Bank, days: int, known: bool) -> None:
    """The bot looks further back for who pushed it, and says so where GitLab's events do not reach."""
    site, anna = bank.site, bank.site.user("anna.nowak")
    site.gitlab.push(anna, site.project, "old", site.experiment(), start="main")
    site.gitlab.clock.forward(days=days)
    merge = bank.ready(site.gitlab.open(anna, site.project, "old"))
    site.merge("maria.wisniewska", merge)
    result = bank.round()
    assert (result.commit is not None) == known
    assert ("it is not known who pushed" in bank.reasons(result)) == (not known)


def test_gitlab_may_mark_the_merge_a_moment_after_its_push(bank: Bank) -> None:
    """The webhook of the push comes first: the bot waits a little before it takes the commit for a direct push."""
    merge = bank.merged()
    merge.state = "locked"

    def caught_up(_seconds: float) -> None:
        merge.state = "merged"

    result = authorize(replace(bank.bot(), sleep=caught_up), "dev")
    assert result.commit is not None
    assert len(bank.audits()) == 1


# --- once, again, never -----------------------------------------------------------------------------------------------
def propose_and_merge(bank: Bank, files: dict[str, Any], *approvers: str) -> Merge:
    """A further merge request of Anna's that Maria merges."""
    merge = bank.site.propose(bank.site.user("anna.nowak"), files)
    bank.ready(merge, *approvers) if approvers else bank.show(merge)
    bank.site.merge("maria.wisniewska", merge)
    return merge


def test_cancel_removes_the_overlay_and_ends_the_operation(bank: Bank) -> None:
    """A member's own merge is enough; the record says by which merge request."""
    bank.merged()
    bank.round()
    merge = propose_and_merge(bank, bank.site.experiment(state="cancelled"))
    result = bank.round()
    assert [each.state for each in result.decided] == ["cancelled"]
    assert not bank.names("overlays/dev/team-a/exp-002")
    assert bank.terminated == [("team-a", "exp-002")]
    [record] = bank.audits()
    assert record.last.outcome is not None
    assert (record.last.outcome.result, record.last.outcome.cause) == ("cancelled", f"cancelled by !{merge.iid}")
    assert bank.site.main == bank.site.tip("deployed/dev")
    propose_and_merge(bank, bank.site.experiment(attempt=2), "maria.wisniewska")
    assert "for good" in bank.reasons(bank.round())


def test_a_stranger_cancels_nothing(bank: Bank) -> None:
    """Merged by somebody of no tenant."""
    bank.merged()
    bank.round()
    merge = bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment(state="cancelled"))
    bank.site.merge("mallory", merge)
    result = bank.round()
    assert "merged by mallory (id 666)" in bank.reasons(result)
    assert bank.names("overlays/dev/team-a/exp-002")
    assert bank.terminated == []


def test_a_second_attempt_takes_approvals_of_its_own(bank: Bank) -> None:
    """Refused without; with them the same run id, a new Job, and a second entry in the record."""
    bank.merged()
    bank.round()
    propose_and_merge(bank, bank.site.experiment(attempt=2))
    assert "0 of 1 approvals" in bank.reasons(bank.round())
    propose_and_merge(bank, bank.site.experiment(attempt=3), "tomasz.zielinski")
    assert bank.round().commit is not None
    [record] = bank.audits()
    assert [entry.attempt for entry in record.attempts] == [1, 3]
    with bank.files() as repository:
        lock = repository.lock(f"{OVERLAY}/run.yaml")
        assert check.check(repository).findings == []
    assert (lock.attempt, lock.run_id) == (3, record.run_id)
    assert lock.authorized is not None
    assert lock.authorized.approvers == ["tomasz.zielinski"]


def test_what_was_learnt_after_the_comment_changes_no_run(bank: Bank) -> None:
    """The bot records finished runs between approval and merge: the plan says other numbers, and what was approved runs."""
    wanted = bank.site.experiment(resources={"gpus": 1, "time_limit": "1h"})
    merge = bank.site.propose(bank.site.user("anna.nowak"), wanted)
    [shown] = bank.show(merge)
    bank.site.approve("maria.wisniewska", merge)
    with bank.files() as repository:
        environment = repository.environment(shown.run.environment)
    assert environment is not None
    kind = {"seven-b": shown.run.model.name, "h100-80gb": environment.gpu.type}
    bot, main = bank.bot(), bank.site.main
    bot.mirror.fetch()
    learnt = bot.mirror.commit(main, finished_runs(kind), "dev: record the outcome of some runs\n")
    bot.mirror.push({"main": (main, learnt), "deployed/dev": (bot.mirror.tip("deployed/dev"), learnt)})
    bank.site.merge("maria.wisniewska", merge)
    result = bank.round()
    assert (result.obstacles, bank.reasons(result)) == ((), "")
    record = next(record for record in bank.audits() if record.experiment == "exp-002")
    assert record.sha256 == shown.sha256
    predicted, price = record.estimated.predicted, record.last.authorized.price
    assert predicted is not None
    assert price is not None
    assert predicted.peak_bytes > 1.1 * predicted.formula_peak_bytes
    assert predicted.seen == 4
    assert record.trained is not None
    assert record.trained.model == shown.run.model.name


def finished_runs(kind: dict[str, str]) -> dict[str, bytes | None]:
    """The records of fixtures/predictions, of this platform's model and GPU."""
    found: dict[str, bytes | None] = {}
    fixture = ROOT / "tests" / "fixtures" / "predictions"
    for path in sorted(fixture.glob("audit/*/*/*.yaml")):
        text = path.read_text()
        for old, new in kind.items():
            text = text.replace(old, new)
        found[path.relative_to(fixture).as_posix()] = text.encode()
    return found


@pytest.mark.parametrize("how", ["a revert", "a rewrite", "no experiment any more"])
def test_an_authorized_experiment_that_goes_or_changes_is_put_back(bank: Bank, how: str) -> None:
    """Its run goes on as approved, the merge's pipeline learns why, and nobody else's run is held up."""
    bank.merged()
    bank.round()
    before = bare.git(bank.site.project.bare, "rev-parse", f"main:{EXP}")
    other: dict[str, dict[str, bare.Content]] = {
        "a revert": {EXP: None},
        "a rewrite": bank.site.experiment(description="b"),
        "no experiment any more": {EXP: "-"},
    }
    merge = bank.site.propose(bank.site.user("anna.nowak"), other[how])
    bank.site.merge("maria.wisniewska", merge)
    landed = bank.site.main
    propose_and_merge(bank, bank.site.experiment(name="exp-003"), "maria.wisniewska")
    result = bank.round()
    assert (result.restored, result.obstacles) == ((EXP,), ())
    assert bare.git(bank.site.project.bare, "rev-parse", f"main:{EXP}") == before
    assert sorted(record.run_id[:7] for record in bank.audits()) == ["exp-002", "exp-003"]
    assert [len(record.attempts) for record in bank.audits()] == [1, 1]
    verdict = bank.bot().store.verdict(landed, "dev")
    assert verdict is not None
    [run] = verdict["runs"]
    assert (run["experiment"], run["state"]) == (EXP, "refused")
    assert "the bot put the file back: to stop the run, set `state: cancelled`" in run["reasons"][-1]
    with bank.files() as repository:
        assert check.check(repository).findings == []
    assert bank.round().commit is None


def test_delete_and_add_again_starts_nothing(bank: Bank) -> None:
    """Both in one round: the file says what it said, the run goes on, there is nothing to do."""
    bank.merged()
    bank.round()
    main = bank.site.main
    propose_and_merge(bank, {EXP: None})
    propose_and_merge(bank, bank.site.experiment(), "maria.wisniewska")
    result = bank.round()
    assert (result.commit, result.restored, result.obstacles) == (None, (), ())
    assert bank.site.tip("deployed/dev") == main


def test_a_run_whose_overlay_is_gone_never_starts_again(bank: Bank) -> None:
    """Retired, deleted and added again with all approvals: its run id is on record."""
    bank.merged()
    bank.round()
    bot = bank.bot()
    bot.mirror.fetch()
    main = bank.site.main
    gone = dict.fromkeys(bank.names("overlays/dev/team-a/exp-002"))
    retired = bot.mirror.commit(main, {**gone, EXP: None}, "dev: retire team-a/exp-002\n")
    bot.mirror.push({"main": (main, retired), "deployed/dev": (bot.mirror.tip("deployed/dev"), retired)})
    propose_and_merge(bank, bank.site.experiment(), "maria.wisniewska")
    result = bank.round()
    assert "attempt 1 of exp-002-" in bank.reasons(result)
    assert "was authorized before" in bank.reasons(result)
    assert not bank.names("overlays/dev/team-a/exp-002")


def test_a_renamed_experiment_is_another_run(bank: Bank) -> None:
    """It needs approvals of its own under its new name."""
    anna = bank.site.user("anna.nowak")
    first = bank.site.propose(anna, bank.site.experiment())
    bank.show(first)
    bank.site.merge("anna.nowak", first)
    [content] = bank.site.experiment(name="exp-009").values()
    propose_and_merge(bank, {EXP: None, "experiments/team-a/exp-009.yaml": content})
    result = bank.round()
    assert [each.candidate.file for each in result.refused] == ["experiments/team-a/exp-009.yaml"]
    assert bank.audits() == []


def test_a_repeated_event_changes_nothing(bank: Bank) -> None:
    """The same commit asked for again gives the same verdict and no commit, in a new store as well."""
    bank.merged()
    landed = bank.site.main
    bank.round(commit=landed)
    main, first = bank.site.main, bank.bot().store.verdict(landed, "dev")
    for _ in range(2):
        assert bank.round(commit=landed).commit is None
    assert (bank.site.main, bank.bot().store.verdict(landed, "dev")) == (main, first)
    bank.work = bank.work.parent / "new-store"
    bank.round(commit=landed)
    again = bank.bot().store.verdict(landed, "dev")
    assert again is not None
    assert [run["state"] for run in again["runs"]] == ["authorized"]


def test_a_commit_that_main_does_not_have_is_refused(bank: Bank) -> None:
    """With what to give instead."""
    merge = bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment())
    with pytest.raises(UsageError, match="is not on main; give a commit of main"):
        bank.round(commit=merge.head)


def test_an_experiment_that_changed_again_has_the_later_verdict(bank: Bank) -> None:
    """The first merge was approved, the second one was not: nothing runs, and the first one's pipeline learns why."""
    bank.merged()
    first = bank.site.main
    propose_and_merge(bank, bank.site.experiment(description="another idea"))
    result = bank.round()
    assert [each.state for each in result.decided] == ["refused"]
    verdict = bank.bot().store.verdict(first, "dev")
    assert verdict is not None
    assert "changed experiments/team-a/exp-002.yaml again" in verdict["runs"][0]["reasons"][0]


# --- the platform's own files -----------------------------------------------------------------------------------------
BASE = {"base/cluster/note.yaml": "# a note\n"}


def test_an_unapproved_change_of_the_platform_stops_the_branch(bank: Bank) -> None:
    """The experiment beside it waits, is not lost, and runs when the change is reverted."""
    merge = bank.site.propose(bank.site.user("ewa.admin"), BASE)
    bank.site.merge("ewa.admin", merge)
    bank.merged()
    result = bank.round()
    assert f"!{merge.iid} changed base/cluster/note.yaml outside the tenants' own folders" in result.obstacles[0]
    assert "no platform admin (piotr.admin, ewa.admin) approved it in time" in result.obstacles[0]
    assert result.commit is None
    assert bank.site.tip("deployed/dev") != bank.site.main
    verdict = bank.bot().store.verdict(bank.site.main, "dev")
    assert verdict is not None
    assert (verdict["state"], verdict["reasons"]) == ("waiting", list(result.obstacles))
    revert = bank.site.propose(bank.site.user("ewa.admin"), {"base/cluster/note.yaml": None})
    bank.site.merge("ewa.admin", revert)
    assert bank.round().commit == bank.site.tip("deployed/dev")
    assert len(bank.audits()) == 1


def test_an_approved_change_of_the_platform_is_deployed(bank: Bank) -> None:
    """A signed commit that changes nothing by itself, with the merge request in its trailer."""
    merge = bank.site.propose(bank.site.user("ewa.admin"), BASE)
    bank.site.approve("piotr.admin", merge)
    bank.site.merge("ewa.admin", merge)
    result = bank.round()
    assert result.commit == bank.site.main == bank.site.tip("deployed/dev")
    message = bare.git(bank.site.project.bare, "log", "-1", "--format=%B", "main")
    assert f"Merge-Request: !{merge.iid}" in message
    assert bank.round().commit is None


def test_a_tree_that_fails_the_check_stops_the_branch(bank: Bank) -> None:
    """An admin may approve it, but overlays are locked to the base as it was: no commit, and the finding as the reason."""
    bank.merged()
    bank.round()
    path = "base/training/v1/kustomization.yaml"
    merge = bank.site.propose(bank.site.user("ewa.admin"), {path: text(path) + "# changed\n"})
    bank.site.approve("piotr.admin", merge)
    bank.site.merge("ewa.admin", merge)
    bank.merged(bank.site.experiment(name="exp-003"))
    main = bank.site.main
    result = bank.round()
    assert "ft expand --check: base/training/v1" in result.obstacles[0]
    assert (result.commit, bank.site.main) == (None, main)
    verdict = bank.bot().store.verdict(main, "dev")
    assert verdict is not None
    assert (verdict["state"], verdict["runs"][0]["state"]) == ("waiting", "waiting")


@pytest.mark.parametrize("admin", [True, False])
def test_a_new_base_model_takes_a_platform_admin(bank: Bank, admin: bool) -> None:
    """Catalogue, tenant.yaml and experiment in one merge request: the approver alone is not enough."""
    tenant = yaml.safe_load(text("tenants/team-a/tenant.yaml"))
    tenant["models"].append("another")
    files = {
        **bank.site.experiment(model="another"),
        "catalog/models/another.yaml": text("catalog/models/smollm2-135m-instruct.yaml"),
        "tenants/team-a/tenant.yaml": yaml.safe_dump(tenant, sort_keys=False),
    }
    approvers = ("maria.wisniewska", "piotr.admin") if admin else ("maria.wisniewska",)
    merge = bank.ready(bank.site.propose(bank.site.user("anna.nowak"), files), *approvers)
    bank.site.merge("maria.wisniewska", merge)
    result = bank.round()
    assert (result.commit is not None) == admin
    if not admin:
        assert "the base model another is new to the tenant" in bank.reasons(result)
        assert "catalog/models/another.yaml" in result.obstacles[0]


def test_a_direct_push_of_the_platform_stops_the_branch(bank: Bank) -> None:
    """Whoever may push to main cannot reach the cluster by it."""
    bank.site.project.protected["main"].pushers.add(bank.site.root.id)
    bank.site.gitlab.push(bank.site.root, bank.site.project, "main", BASE)
    result = bank.round()
    assert "it came without a merge request" in result.obstacles[0]
    assert bank.site.tip("deployed/dev") != bank.site.main


def test_a_merge_by_hand_smuggles_nothing_in(bank: Bank) -> None:
    """A merge commit that holds more than the approved merge request did, pushed by somebody who may."""
    site = bank.site
    merge = site.propose(site.user("ewa.admin"), BASE)
    site.approve("piotr.admin", merge)
    site.project.protected["main"].pushers.add(site.root.id)
    site.gitlab.push(site.root, site.project, "evil", {"base/cluster/more.yaml": "# more\n"}, start=merge.head)
    tree = bare.git(site.project.bare, "rev-parse", "evil^{tree}")
    who = {f"GIT_{role}_{key}": "x" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    made = bare.git(
        site.project.bare, "commit-tree", tree, "-p", "main", "-p", merge.head, stdin=b"merge", environment=who
    )
    now = site.gitlab.clock.now()
    site.gitlab.push_commit(site.root, site.project, "main", made)
    # GitLab sees the head on main and calls the merge request merged, by this very commit.
    merge.state, merge.merged_at, merge.merged_by, merge.merge_commit = "merged", now, site.root, made
    result = bank.round()
    assert "main holds something else than the merge request did" in result.obstacles[0]


def test_an_overlay_by_hand_stops_the_branch(bank: Bank) -> None:
    """Only the bot writes there, whoever approved."""
    bank.merged()
    bank.round()
    run = bare.git(bank.site.project.bare, "show", f"main:{OVERLAY}/run.yaml")
    merge = bank.site.propose(bank.site.user("ewa.admin"), {f"{OVERLAY}/run.yaml": run.replace("gpus: 0", "gpus: 8")})
    bank.site.approve("piotr.admin", merge)
    bank.site.merge("ewa.admin", merge)
    result = bank.round()
    assert "where only the bot writes" in result.obstacles[0]
    assert result.commit is None


def test_without_a_deployed_branch_nothing_is_deployed(bank: Bank) -> None:
    """The bot does not guess from where to count."""
    bank.merged()
    bare.git(bank.site.project.bare, "update-ref", "-d", "refs/heads/deployed/dev")
    result = bank.round()
    assert "there is no branch deployed/dev: an admin creates it once" in result.obstacles[0]
    assert bank.audits() == []


# --- faults -----------------------------------------------------------------------------------------------------------
def test_a_refused_push_leaves_nothing(bank: Bank) -> None:
    """The branch is protected against the bot: said with the remedy, and the run starts once that is put right."""
    bank.merged()
    rules = bank.site.project.protected["deployed/dev"]
    rules.pushers.clear()
    main = bank.site.main
    with pytest.raises(MirrorFault, match="protected branches"):
        bank.round()
    assert bank.site.main == main
    rules.pushers.add(bank.site.bot.id)
    assert bank.round().commit is not None


@pytest.mark.parametrize("path", ["approvals", "versions", "events", "merge_requests"])
def test_while_gitlab_is_away_nothing_is_decided(bank: Bank, path: str) -> None:
    """A run is neither refused nor started for lack of an answer; the next round finds it."""
    bank.merged()
    bank.site.gitlab.faults.add(500, f"GET .*/{path}", times=100)
    with pytest.raises(ForgeAway):
        bank.round()
    assert bank.audits() == []
    assert bank.bot().store.verdict(bank.site.main, "dev") is None
    bank.site.gitlab.faults.clear()
    assert bank.round().commit is not None


def test_fifty_experiments_take_three_calls_each_at_most(bank: Bank) -> None:
    """However many were merged since the last round."""
    for number in range(50):
        bank.merged(bank.site.experiment(name=f"many-{number:02d}"), branch=f"many-{number}")
    bank.site.gitlab.forget_calls()
    result = bank.round()
    assert (len(result.decided), bank.reasons(result)) == (50, "")
    assert len(bank.audits()) == 50
    assert bank.site.gitlab.count() <= 3 * 50
