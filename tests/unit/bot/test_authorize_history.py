"""Main's history split into landings: real git, merge requests as GitLab records them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.authorizing import signing_home
from tests.gitlab import bare
from tools.bot.authorize.candidates import changed
from tools.bot.authorize.history import Landing, faithful, landings, last_of
from tools.bot.mirror import Mirror, Signer
from tools.bot.records import MergeRequest, User

ANNA = User(101, "anna.nowak")
A, B = "experiments/team-a/a.yaml", "experiments/team-a/b.yaml"


@dataclass
class Repo:
    """A bare repository, the bot's mirror of it, and the merge requests so far with where each began."""

    path: Path
    mirror: Mirror
    merged: list[MergeRequest] = field(default_factory=list)
    bases: dict[int, str | None] = field(default_factory=dict)

    def commit(self, branch: str, path: str, content: str | None, start: str | None = None) -> str:
        """One commit with one file."""
        old = bare.tip(self.path, f"refs/heads/{branch}")
        who = bare.person("somebody", "somebody@bank.example")
        return bare.commit(self.path, branch, old or (start and bare.tip(self.path, start)), {path: content}, who, "x")

    def merge(self, branch: str, how: str, base: str | None = None) -> MergeRequest:
        """Merge a branch; GitLab says that its last version began at `base`."""
        head = bare.tip(self.path, f"refs/heads/{branch}")
        assert head is not None
        who = bare.person("somebody", "somebody@bank.example")
        commit, squashed = bare.merge(self.path, "main", head, who, "x", how)
        return self.record(branch, head, commit, squashed, base)

    def record(
        self, branch: str, head: str, commit: str | None, squashed: str | None, base: str | None
    ) -> MergeRequest:
        """A merge request that GitLab calls merged."""
        iid = len(self.merged) + 1
        bare.git(self.path, "update-ref", f"refs/merge-requests/{iid}/head", head)
        merge_request = MergeRequest(
            iid=iid, state="merged", title="x", web_url="x", author=ANNA, source_branch=branch, target_branch="main",
            source_project_id=1, head_sha=head, merge_commit_sha=commit, squash_commit_sha=squashed,
            merged_at=datetime.now(UTC), merged_by=ANNA,
        )  # fmt: skip
        self.merged.append(merge_request)
        self.bases[iid] = base
        return merge_request

    def tip(self, branch: str = "main") -> str:
        """A branch's commit."""
        found = bare.tip(self.path, f"refs/heads/{branch}")
        assert found is not None
        return found

    def landings(self, old: str) -> list[Landing]:
        """From a commit to main."""
        self.mirror.fetch([each.iid for each in self.merged])
        return landings(self.mirror, old, self.tip(), self.merged, lambda found: self.bases[found.iid])


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    """The bot's key."""
    home = tmp_path_factory.mktemp("g") / "h"
    with signing_home(home) as fingerprint:
        yield Signer("bot", "bot@bank.example", fingerprint, home)


@pytest.fixture
def repo(tmp_path: Path, signer: Signer) -> Repo:
    """A repository with one commit on main."""
    path = tmp_path / "repo.git"
    bare.create(path)
    made = Repo(path, Mirror(tmp_path / "mirror.git", f"file://{path}", None, signer))
    made.commit("main", "README.md", "x")
    return made


@pytest.mark.parametrize("how", ["merge", "squash", "squash-ff", "ff"])
def test_each_way_to_merge_is_one_landing(repo: Repo, how: str) -> None:
    """Two commits of a branch land together, from where main was."""
    start = repo.tip()
    repo.commit("branch", A, "1", "main")
    repo.commit("branch", B, "1")
    merge_request = repo.merge("branch", how, start)
    [found] = repo.landings(start)
    assert (found.merge_request, found.before, found.commit, found.by_bot) == (merge_request, start, repo.tip(), False)
    assert set(found.changed) == {A, B}
    assert faithful(repo.mirror, found)


def test_a_direct_push_before_a_fast_forward_stays_one(repo: Repo) -> None:
    """A fast-forward begins where GitLab says, not at the last commit that is known."""
    start = repo.tip()
    pushed = repo.commit("main", "base/x.yaml", "1")
    repo.commit("branch", A, "1", "main")
    repo.commit("branch", B, "1")
    repo.merge("branch", "ff", pushed)
    direct, forward = repo.landings(start)
    assert (direct.commit, direct.before, direct.merge_request) == (pushed, start, None)
    assert (forward.before, set(forward.changed)) == (pushed, {A, B})


def test_a_fast_forward_of_unknown_beginning_covers_its_last_commit_only(repo: Repo) -> None:
    """What GitLab does not account for counts as pushed directly."""
    start = repo.tip()
    first = repo.commit("branch", A, "1", "main")
    repo.commit("branch", B, "1")
    repo.merge("branch", "ff", None)
    direct, forward = repo.landings(start)
    assert (direct.commit, direct.merge_request) == (first, None)
    assert (forward.before, set(forward.changed)) == (first, {B})


def test_the_bots_own_commits_are_known_by_their_signature(repo: Repo) -> None:
    """Not by author or message, which anybody may write."""
    start = repo.tip()
    repo.mirror.fetch()
    own = repo.mirror.commit(start, {"overlays/dev/x": b"1"}, "dev: authorize\n")
    repo.mirror.push({"main": (start, own)})
    bot = bare.person("bot", "bot@bank.example")
    forged = bare.commit(repo.path, "main", own, {"overlays/dev/x": "2"}, bot, "dev: authorize")
    found = repo.landings(start)
    assert [(each.commit, each.by_bot) for each in found] == [(own, True), (forged, False)]


def test_a_branch_that_came_in_through_another_is_the_others(repo: Repo) -> None:
    """GitLab names the same merge commit for both merge requests."""
    start = repo.tip()
    inner = repo.commit("inner", A, "1", "main")
    repo.commit("outer", B, "1", "inner")
    outer = repo.merge("outer", "merge", start)
    repo.record("inner", inner, outer.merge_commit_sha, None, start)
    [found] = repo.landings(start)
    assert found.merge_request == outer


def test_a_merge_that_holds_more_is_not_faithful(repo: Repo) -> None:
    """A merge commit made by hand, with another file in it."""
    start = repo.tip()
    head = repo.commit("branch", A, "1", "main")
    repo.commit("evil", A, "1", "main")
    repo.commit("evil", "base/x.yaml", "1")
    tree = bare.git(repo.path, "rev-parse", "evil^{tree}")
    who = {f"GIT_{role}_{key}": "x" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    made = bare.git(repo.path, "commit-tree", tree, "-p", start, "-p", head, stdin=b"x", environment=who)
    bare.git(repo.path, "update-ref", "refs/heads/main", made)
    repo.record("branch", head, made, None, start)
    [found] = repo.landings(start)
    assert not faithful(repo.mirror, found)


def test_what_changed_in_the_end_and_by_whom(repo: Repo) -> None:
    """The last landing counts; what went and came back as it was did not change; a renamed file is another one."""
    repo.commit("main", A, "1")
    repo.commit("main", "experiments/team-a/old.yaml", "1")
    start = repo.tip()
    repo.commit("main", A, None)
    repo.commit("main", A, "1")
    repo.commit("main", B, "1")
    last = repo.commit("main", B, "2")
    repo.commit("main", "experiments/team-a/old.yaml", None)
    repo.commit("main", "experiments/team-a/new.yaml", "1")
    found = repo.landings(start)
    assert changed(found, "experiment") == [B, "experiments/team-a/old.yaml", "experiments/team-a/new.yaml"]
    responsible = last_of(found, B)
    assert responsible is not None
    assert responsible.commit == last
    assert last_of(found, "README.md") is None
