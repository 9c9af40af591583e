"""What is served, from merge requests to signed commits: GitLab's stand-in over HTTP, real git, real gpg, a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.authorizing import Bank, signing
from tests.gitlab import bare
from tests.gitlab.fixtures import gitlab
from tests.gitlab.model import Merge
from tests.gitlab.standin import GitLab
from tests.promoting import ANNA, FILE, FOLDER, MARIA, RECALL, files, open_bank, promoted, recall, serves
from tools.expand import check, promotions, serving
from tools.formats.audit import Audit
from tools.formats.promotions import Promotions
from tools.formats.serving_lock import ServingLock

__all__ = ["gitlab", "signing"]
RECORD = "audit/dev/team-a/_serving/customer-topics.yaml"
Banked = tuple[Bank, tuple[Audit, Audit]]


@pytest.fixture
def banked(gitlab: GitLab, tmp_path: Path, signing: tuple[Path, str]) -> Banked:
    """The bank, and the records of both versions; nothing is served yet."""
    return open_bank(gitlab, tmp_path, signing)


def lock(bank: Bank, branch: str = "deployed/dev") -> ServingLock | None:
    """What the cluster is to serve."""
    with bank.files(branch) as repository:
        if not (repository.root / FOLDER).is_dir():
            return None
        return serving.read(repository, FOLDER).value


def record(bank: Bank) -> Promotions:
    """The model's record on main."""
    with bank.files() as repository:
        found = promotions.read(repository, RECORD).value
    assert found is not None
    return found


def on_main(bank: Bank, path: str) -> str:
    """A file on main; empty where there is none."""
    there = bare.git(bank.site.project.bare, "ls-tree", "main", path)
    return bare.git(bank.site.project.bare, "show", f"main:{path}") + "\n" if there else ""


def told(merge: Merge) -> str:
    """All comments of a merge request."""
    return "\n".join(note.body for note in merge.notes if not note.system)


def test_an_approved_promotion_is_served_once(banked: Banked) -> None:
    """Overlay and record in one signed commit that passes the check; the merge request is told; a second round does nothing."""
    bank, (first, _) = banked
    merge = promoted(bank, first)
    found = lock(bank)
    assert found is not None
    assert found.authorized is not None
    assert (found.content.served, found.authorized.approvers) == (serves(first), [MARIA])
    entry = record(bank).last
    assert (entry.served, entry.merge_request, entry.commit) == (serves(first), merge.iid, found.authorized.commit)
    assert bank.site.main == bank.site.tip("deployed/dev") == bank.commits()[0]
    assert (
        bare.git(bank.site.project.bare, "log", "-1", "--format=%s", "main")
        == "dev: promote dev/team-a/customer-topics"
    )
    with bank.files() as repository:
        assert [each.message for each in check.check(repository).findings] == []
    assert told(merge).count("is promoted") == 1
    assert bank.round().commit is None


def self_approval(bank: Bank, first: Audit) -> Merge:
    """Maria proposes and approves."""
    merge = bank.site.propose(bank.site.user(MARIA), files(first))
    bank.site.approve(MARIA, merge)
    return merge


def late_push(bank: Bank, first: Audit) -> Merge:
    """Anna pushes another comment after the approval."""
    site, anna = bank.site, bank.site.user(ANNA)
    merge = site.propose(anna, files(first))
    site.approve(MARIA, merge)
    site.gitlab.push(anna, site.project, merge.source_branch, {FILE: files(first)[FILE] + "# later\n"})
    return merge


def nobody(bank: Bank, first: Audit) -> Merge:
    """It is merged without any approval."""
    return bank.site.propose(bank.site.user(ANNA), files(first))


def stranger(bank: Bank, first: Audit) -> Merge:
    """Mallory, who is in no tenant, proposes; Maria approves."""
    merge = bank.site.propose(bank.site.mallory, files(first))
    bank.site.approve(MARIA, merge)
    return merge


def other_hash(bank: Bank, first: Audit) -> Merge:
    """The file names another content than the one that was published."""
    changed = files(first)[FILE].replace("c3" * 32, "d3" * 32)
    merge = bank.site.propose(bank.site.user(ANNA), {FILE: changed})
    bank.site.approve(MARIA, merge)
    return merge


REFUSED = {
    "self-approval": (self_approval, "it is the author's own"),
    "approval before a late push": (late_push, "before the last push"),
    "no approval": (nobody, "0 of 1 approvals by the tenant's approvers"),
    "proposed by a stranger": (stranger, "mallory is no member of the tenant"),
    "another hash than was published": (other_hash, "a published folder that changed must not be served"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_promoted(banked: Banked, case: str) -> None:
    """Nothing is served, the file is put back so that the same can be proposed anew, and the merge request is told why."""
    bank, (first, _) = banked
    attempt, words = REFUSED[case]
    merge = attempt(bank, first)
    bank.site.merge(ANNA, merge)
    result = bank.round()
    (refused,) = result.promoted
    assert refused.state == "refused"
    assert words in " | ".join(refused.verdict.reasons)
    assert (lock(bank, "main"), on_main(bank, FILE)) == (None, "")
    assert "Not promoted" in told(merge)
    assert bank.round().promoted == ()


def test_a_direct_push_serves_nothing(banked: Banked) -> None:
    """Main is open to a person for a moment; the bot puts the file back."""
    bank, (first, _) = banked
    bank.site.project.protected["main"].pushers.add(bank.site.root.id)
    bank.site.gitlab.push(bank.site.root, bank.site.project, "main", files(first))
    (refused,) = bank.round().promoted
    assert "without a merged merge request" in refused.verdict.reasons[0]
    assert (lock(bank, "main"), on_main(bank, FILE)) == (None, "")


def test_a_revert_rolls_back_and_removing_the_file_ends_it(banked: Banked) -> None:
    """Version 4, then 3 again by an approved revert, then nothing by one member's merge: overlay and route are gone."""
    bank, (first, second) = banked
    promoted(bank, first)
    promoted(bank, second)
    promoted(bank, first)
    found = lock(bank)
    assert found is not None
    assert found.content.served == serves(first)
    removal = bank.site.propose(bank.site.user(ANNA), {FILE: None})
    bank.site.merge(ANNA, removal)
    bank.round()
    assert lock(bank) is None
    assert [each.served and each.served.model_version for each in record(bank).promotions] == [3, 4, 3, None]
    with bank.files() as repository:
        assert [each.message for each in check.check(repository).findings] == []


def test_a_stranger_does_not_take_a_model_out_of_service(banked: Banked) -> None:
    """The file comes back, and the model goes on answering."""
    bank, (first, _) = banked
    promoted(bank, first)
    before = on_main(bank, FILE)
    bank.site.merge("mallory", bank.site.propose(bank.site.mallory, {FILE: None}))
    (refused,) = bank.round().promoted
    assert "neither of team-a nor a platform admin" in refused.verdict.reasons[0]
    assert on_main(bank, FILE) == before
    assert lock(bank) is not None


def test_an_overlay_of_a_served_model_by_hand_stops_the_branch(banked: Banked) -> None:
    """Only the bot writes there, whoever approved."""
    bank, _ = banked
    merge = bank.site.propose(bank.site.user(ANNA), {f"{FOLDER}/lock.yaml": "version: 1\n"})
    bank.site.approve("piotr.admin", merge)
    bank.site.merge(ANNA, merge)
    assert "where only the bot writes" in bank.round().obstacles[0]


# --- recalls ----------------------------------------------------------------------------------------------------------
def recalled(bank: Bank, first: Audit) -> None:
    """Anna recalls the data and merges it herself, without an approval."""
    bank.site.merge(ANNA, bank.site.propose(bank.site.user(ANNA), recall(first), branch="recall"))
    bank.round()


def test_recalled_data_blocks_a_promotion_and_a_rollback(banked: Banked) -> None:
    """What is served goes on; neither the other version nor a return to the first is allowed, approved or not."""
    bank, (first, second) = banked
    promoted(bank, first)
    recalled(bank, first)
    found = lock(bank)
    assert found is not None
    merge = promoted(bank, second)
    assert "trained on data that recalls/team-a/customer-topics" in told(merge)
    found = lock(bank)
    assert found is not None
    assert found.content.served == serves(first)
    assert on_main(bank, FILE) == files(first)[FILE]


def test_a_recall_is_not_lifted_without_approvals(banked: Banked) -> None:
    """The file comes back, and a promotion that was merged with it is refused all the same."""
    bank, (first, _) = banked
    recalled(bank, first)
    lift = bank.site.propose(bank.site.user(ANNA), {RECALL: None}, branch="lift")
    bank.site.merge(ANNA, lift)
    promotion = bank.site.propose(bank.site.user(ANNA), files(first))
    bank.site.approve(MARIA, promotion)
    bank.site.merge(ANNA, promotion)
    result = bank.round()
    assert "the recall is removed without approval" in result.recalls[0]
    assert on_main(bank, RECALL) == recall(first)[RECALL]
    assert lock(bank, "main") is None
    assert "The recall still holds" in told(lift)
    assert "recalls" in told(promotion)


def test_a_recall_that_the_approvers_lift_blocks_no_more(banked: Banked) -> None:
    """Lifted by an approved merge request: then the model is promoted."""
    bank, (first, _) = banked
    recalled(bank, first)
    lifted = recall(first, lifted="{by: maria.wisniewska, at: 2026-11-21T08:00:00Z, reason: The consent was there}")
    lift = bank.site.propose(bank.site.user(ANNA), lifted, branch="lift")
    bank.site.approve(MARIA, lift)
    bank.site.merge(ANNA, lift)
    promoted(bank, first)
    found = lock(bank)
    assert found is not None
    assert on_main(bank, RECALL) == lifted[RECALL]
