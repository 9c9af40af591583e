"""The bot's mirror over real git, HTTP and gpg: what it reads, and that hostile commits stay data."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.gitlab import bare, faults
from tests.gitlab.bare import Link, Submodule
from tests.gitlab.model import Role
from tests.gitlab.site import Site
from tools.bot import materialise
from tools.bot.errors import Hostile, MirrorAway, MirrorFault, PushLost
from tools.bot.mirror import Mirror, Signer

EXPERIMENT = "experiments/team-a/exp-002.yaml"


def test_it_brings_main_deployed_and_merge_requests(site: Site, mirror: Mirror) -> None:
    """A fetch brings the branches, and the heads of the merge requests that it is asked for."""
    made = site.propose(site.user("anna.nowak"), site.experiment())
    mirror.fetch([made.iid])
    assert (mirror.tip("main"), mirror.tip("deployed/dev")) == (site.main, site.main)
    assert mirror.head(made.iid) == made.head
    assert mirror.tip("no-such") is None


def test_a_merge_request_that_gitlab_lost_does_not_stop_the_rest(site: Site, mirror: Mirror) -> None:
    """A head that is not there is left out; the others and main come."""
    made = site.propose(site.user("anna.nowak"), site.experiment())
    site.merge("maria.wisniewska", made)
    mirror.fetch([4711, made.iid])
    assert (mirror.head(4711), mirror.head(made.iid), mirror.tip("main")) == (None, made.head, site.main)


def test_steps_of_main_are_told_apart(site: Site, mirror: Mirror) -> None:
    """A merge commit is one step with two parents, whatever its branch holds."""
    start = site.main
    made = site.propose(site.user("anna.nowak"), site.experiment(), branch="exp")
    site.gitlab.push(site.user("anna.nowak"), site.project, "exp", site.experiment(priority="low"))
    tip = site.merge("maria.wisniewska", made)
    mirror.fetch()
    assert mirror.first_parents(start, tip) == [(tip, (start, made.head))]
    assert mirror.parents(tip) == (start, made.head)
    assert mirror.is_ancestor(start, tip)
    assert not mirror.is_ancestor(tip, start)
    assert mirror.merge_base(start, made.head) == start


def test_a_rename_is_a_removal_and_an_addition(site: Site, mirror: Mirror) -> None:
    """What git would call a rename shows both paths."""
    content = bare.git(site.project.bare, "show", "main:experiments/team-a/exp-001.yaml")
    files = {"experiments/team-a/exp-001.yaml": None, EXPERIMENT: content + "\n"}
    made = site.propose(site.user("anna.nowak"), files)
    mirror.fetch([made.iid])
    changed = mirror.diff(site.main, made.head)
    assert {path: (old is None, new is None) for path, (old, new) in changed.items()} == {
        "experiments/team-a/exp-001.yaml": (False, True),
        EXPERIMENT: (True, False),
    }
    assert changed[EXPERIMENT][1] == mirror.blob(made.head, EXPERIMENT)


def test_a_file_is_read_and_a_folder_is_none(site: Site, mirror: Mirror) -> None:
    """Regular files alone have content."""
    assert b"smollm2" in (mirror.file(site.main, "experiments/team-a/exp-001.yaml") or b"")
    assert mirror.file(site.main, "experiments/team-a") is None
    assert mirror.file(site.main, "experiments/team-a/*.yaml") is None


def test_merging_is_computed(site: Site, mirror: Mirror) -> None:
    """The content of a merge, before it is made; None for a conflict."""
    one = site.propose(site.user("anna.nowak"), site.experiment())
    other = site.propose(site.user("jan.kowalski"), site.experiment(priority="low"))
    mirror.fetch([one.iid, other.iid])
    expected = mirror.merged_tree(site.main, one.head)
    tip = site.merge("maria.wisniewska", one)
    mirror.fetch()
    assert expected == mirror.tree(tip)
    assert mirror.merged_tree(tip, other.head) is None


def test_a_tree_becomes_plain_files(site: Site, mirror: Mirror, tmp_path: Path) -> None:
    """The data folders, byte for byte, none of them executable, and nothing else."""
    site.gitlab.push(site.bot, site.project, "main", {"README.md": "no data", "tools/evil.py": "print()"})
    mirror.fetch()
    assert mirror.materialise(site.main, tmp_path / "tree") == []
    written = {p.relative_to(tmp_path / "tree").as_posix(): p for p in (tmp_path / "tree").rglob("*") if p.is_file()}
    listed = bare.git(site.project.bare, "ls-tree", "-r", "--name-only", "main").splitlines()
    assert set(written) == {path for path in listed if path.split("/")[0] in materialise.DATA}
    for path, file in written.items():
        assert file.read_bytes() == bare.content(site.project.bare, f"main:{path}")
        assert not file.stat().st_mode & 0o111


def test_links_lead_nowhere_and_submodules_are_left_out(site: Site, mirror: Mirror, tmp_path: Path) -> None:
    """A link to a secret of the bot's machine is there as a link that dangles; a submodule is not there."""
    files = {EXPERIMENT: Link("/etc/passwd"), "experiments/team-a/sub": Submodule(site.main)}
    made = site.propose(site.mallory, files)
    mirror.fetch([made.iid])
    assert sorted(mirror.materialise(made.head, tmp_path / "t")) == [EXPERIMENT, "experiments/team-a/sub"]
    link = tmp_path / "t" / EXPERIMENT
    assert link.is_symlink()
    assert not link.exists()
    assert not (tmp_path / "t" / "experiments/team-a/sub").exists()


def test_attributes_and_filters_of_a_merge_request_do_nothing(site: Site, mirror: Mirror, tmp_path: Path) -> None:
    """.gitattributes asks for a filter and for CRLF: the bytes stay as they are in git."""
    files = {EXPERIMENT: "a\nb\n", "experiments/.gitattributes": "* filter=evil text eol=crlf ident\n"}
    made = site.propose(site.mallory, files)
    mirror.fetch([made.iid])
    mirror.materialise(made.head, tmp_path / "t")
    assert (tmp_path / "t" / EXPERIMENT).read_bytes() == b"a\nb\n"


@pytest.mark.parametrize(
    "path",
    ["experiments/team-a/.git/config", "experiments/team-a/new\nline.yaml", "experiments/a\\b", "audit/" + "x" * 300],
)
def test_paths_that_are_no_data_are_refused(site: Site, mirror: Mirror, tmp_path: Path, path: str) -> None:
    """Names that an ordinary client would not make, or no file system takes."""
    made = site.propose(site.mallory, {"x": "1"}, branch="hostile")
    head = bare.planted(site.project.bare, made.head, path, b"data")
    site.gitlab.push_commit(site.mallory, site.project, "hostile", head)
    mirror.fetch([made.iid])
    with pytest.raises(Hostile):
        mirror.materialise(head, tmp_path / "t")
    assert not list((tmp_path / "t").rglob("*")) if (tmp_path / "t").exists() else True


@pytest.mark.parametrize("path", ["../outside.yaml", "experiments/../../outside.yaml"])
def test_a_path_that_leaves_the_tree_is_refused(site: Site, mirror: Mirror, tmp_path: Path, path: str) -> None:
    """A tree object can name `..`; nothing is written outside the folder."""
    made = site.propose(site.mallory, {"x": "1"}, branch="hostile")
    head = bare.planted(site.project.bare, made.head, path, b"data")
    site.gitlab.push_commit(site.mallory, site.project, "hostile", head)
    mirror.fetch([made.iid])
    with pytest.raises(Hostile, match="no path for data"):
        mirror.materialise(head, tmp_path / "a" / "t", ())
    assert not list(tmp_path.rglob("outside.yaml"))


def test_a_large_file_is_refused_before_it_is_read(site: Site, mirror: Mirror, tmp_path: Path) -> None:
    """A file over the limit is named with its size."""
    made = site.propose(site.mallory, {EXPERIMENT: b"x" * (materialise.LARGEST_FILE + 1)})
    mirror.fetch([made.iid])
    with pytest.raises(Hostile, match=str(materialise.LARGEST_FILE + 1)):
        mirror.materialise(made.head, tmp_path / "t")
    assert mirror.file(made.head, EXPERIMENT) is None


def test_a_signed_commit_reaches_both_branches(site: Site, mirror: Mirror) -> None:
    """Commit and atomic push: main and deployed/dev hold the bot's signed commit, with its trailer, files added and removed."""
    base = site.main
    changes = {"audit/dev/a.yaml": b"a: 1\n", "experiments/team-a/exp-001.yaml": None}
    made = mirror.commit(base, changes, "authorize\n\nMerge-Request: !1\n")
    mirror.push({"main": (base, made), "deployed/dev": (base, made)})
    assert (site.main, site.tip("deployed/dev"), mirror.tip("main")) == (made, made, made)
    assert mirror.is_signed(made)
    assert set(mirror.diff(base, made)) == set(changes)
    assert bare.git(site.project.bare, "log", "-1", "--format=%(trailers:key=Merge-Request,valueonly)", made) == "!1"
    assert site.project.events[-1].author is site.bot


def test_a_moved_branch_loses_the_whole_push(site: Site, mirror: Mirror) -> None:
    """Main moved meanwhile: neither branch moves, and the error says to decide again."""
    base = site.main
    made = mirror.commit(base, {"audit/x.yaml": b"1"}, "authorize")
    site.merge("maria.wisniewska", site.propose(site.user("anna.nowak"), site.experiment()))
    moved = site.main
    with pytest.raises(PushLost):
        mirror.push({"main": (base, made), "deployed/dev": (base, made)})
    assert (site.main, site.tip("deployed/dev")) == (moved, base)


def test_a_branch_that_should_be_new_is_not_overwritten(site: Site, mirror: Mirror) -> None:
    """None as the expected commit means that the branch must not be there."""
    made = mirror.commit(site.main, {"environments/dev.yaml": b"1"}, "image")
    mirror.push({"ft-bot/image": (None, made)})
    other = mirror.commit(site.main, {"environments/dev.yaml": b"2"}, "image")
    with pytest.raises(PushLost):
        mirror.push({"ft-bot/image": (None, other)})
    assert site.tip("ft-bot/image") == made


def test_a_protected_branch_refuses_with_a_remedy(site: Site, mirror: Mirror) -> None:
    """A bot that may not push learns which setting is missing, and no branch moves."""
    site.project.protect("deployed/dev", push=Role.NONE)
    base = site.main
    made = mirror.commit(base, {"audit/x.yaml": b"1"}, "authorize")
    with pytest.raises(MirrorFault, match="protected branches") as refused:
        mirror.push({"main": (base, made), "deployed/dev": (base, made)})
    assert not isinstance(refused.value, PushLost)
    assert site.main == base


def test_a_push_whose_answer_is_lost_can_be_looked_up(site: Site, mirror: Mirror) -> None:
    """The push took effect, the answer did not come (git's HTTP library may send it again): the next fetch shows it."""
    base = site.main
    made = mirror.commit(base, {"audit/x.yaml": b"1"}, "authorize")
    site.gitlab.faults.add(faults.DROP, "POST .*git-receive-pack", after=True)
    with pytest.raises((MirrorAway, PushLost)):
        mirror.push({"main": (base, made)})
    mirror.fetch()
    assert mirror.tip("main") == made


@pytest.mark.parametrize("what", [500, 503, 429, faults.DROP])
def test_a_gitlab_that_is_away_is_away(site: Site, mirror: Mirror, what: int | str) -> None:
    """A failing server is no fault of the settings."""
    site.gitlab.faults.add(what, r"\.git/", times=9)
    with pytest.raises(MirrorAway, match="tries again later"):
        mirror.fetch()


def test_a_revoked_token_is_said_and_not_shown(site: Site, mirror: Mirror) -> None:
    """401 from git names the remedy and never the token."""
    site.bot.revoked = True
    with pytest.raises(MirrorFault, match="token") as refused:
        mirror.fetch()
    assert site.bot.token not in str(refused.value)


def test_signatures_of_others_and_forgeries_do_not_count(
    site: Site, mirror: Mirror, signer: Signer, tmp_path: Path
) -> None:
    """Unsigned commits, a signature taken from another commit and a key that is not trusted are all no."""
    made = mirror.commit(site.main, {"audit/x.yaml": b"1"}, "authorize")
    text = subprocess.run(
        ["git", "-C", str(tmp_path / "mirror.git"), "cat-file", "commit", made], capture_output=True, check=True
    ).stdout
    forged = bare.git(tmp_path / "mirror.git", "hash-object", "-t", "commit", "-w", "--stdin", stdin=text + b"more\n")
    stranger = Mirror(tmp_path / "mirror.git", "file:///nowhere", None, Signer("x", "x", "A" * 40, signer.gnupghome))
    assert mirror.is_signed(made)
    assert not mirror.is_signed(site.main)
    assert not mirror.is_signed(forged)
    assert not stranger.is_signed(made)


def test_what_a_killed_git_locked_is_freed(site: Site, mirror: Mirror, tmp_path: Path) -> None:
    """A lock file without its git does not stop the bot for good."""
    (tmp_path / "mirror.git" / "refs" / "heads" / "main.lock").touch()
    (tmp_path / "mirror.git" / "packed-refs.lock").touch()
    site.merge("maria.wisniewska", site.propose(site.user("anna.nowak"), site.experiment()))
    mirror.fetch()
    assert mirror.tip("main") == site.main


def test_a_name_that_is_no_commit_is_refused(mirror: Mirror) -> None:
    """Options and branch names never reach git as commits."""
    for name in ("--output=/tmp/x", "main", "HEAD", ""):
        with pytest.raises(MirrorFault, match="no full commit id"):
            mirror.tree(name)
