"""A new runner image becomes a merge request: python-gitlab and git over HTTP against the stand-in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gitlab import bare
from tests.gitlab.model import Merge
from tests.gitlab.site import ROOT, Site
from tools.bot.errors import ForgeAway, ForgeRefused
from tools.bot.forge import Forge
from tools.bot.mirror import Mirror
from tools.bot.records import MergeRequest
from tools.bot.upkeep import git, images
from tools.errors import ToolFault

FILE = "environments/dev.yaml"
IMAGE = "registry.example/llm-finetuning/llama-factory-train"
NEW = f"{IMAGE}@sha256:{'b' * 64}"
NEXT = f"{IMAGE}@sha256:{'d' * 64}"
COMMIT = "c" * 40


@pytest.fixture
def forge(site: Site) -> Forge:
    """The bot's view of the site."""
    return Forge(site.gitlab.url, site.project.id, site.bot.token, answer_seconds=2, patience_seconds=2)


def built(site: Site, **changed: Any) -> None:
    """The job `build` on main has passed and left this."""
    document = {
        "version": 1,
        "image": NEW,
        "tag": "c-0123456789abcdef",
        "commit": COMMIT,
        "built": True,
        "pipeline": "x",
    }
    site.project.artifacts["main", "build", "reports/image.json"] = json.dumps({**document, **changed}).encode()


def propose(forge: Forge, mirror: Mirror, *environments: str) -> list[MergeRequest]:
    """What a round does."""
    with git.checkout(mirror) as (_, repository):
        found = {name: repository.environment(name) for name in environments or ("dev",)}
    return images.propose(forge, mirror, {name: known for name, known in found.items() if known is not None})


def states(site: Site) -> dict[int, str]:
    """Every merge request's state."""
    return {iid: merge.state for iid, merge in site.project.merges.items()}


def text(site: Site, branch: str) -> str:
    """The environment's file on a branch."""
    return bare.git(site.project.bare, "show", f"{branch}:{FILE}") + "\n"


def test_a_new_digest_is_proposed_with_that_line_alone_changed(site: Site, forge: Forge, mirror: Mirror) -> None:
    """Comments and everything else stay as a person wrote them; the description says what was and what comes."""
    built(site)
    (made,) = propose(forge, mirror)
    before = (ROOT / FILE).read_text()
    assert (made.author.id, made.target_branch, made.source_branch) == (
        site.bot.id,
        "main",
        f"ft-bot/image-dev-{'b' * 12}",
    )
    assert text(site, made.source_branch) == before.replace(f"{IMAGE}@sha256:{'0' * 64}", NEW)
    assert before.count(f"{IMAGE}@sha256:") == 1
    assert all(word in made.description for word in (NEW, "0" * 64, COMMIT, "c-0123456789abcdef"))


def test_a_second_round_opens_nothing(site: Site, forge: Forge, mirror: Mirror) -> None:
    """While it is open, after a person closed it, and after it was merged."""
    built(site)
    (made,) = propose(forge, mirror)
    assert propose(forge, mirror) == []
    merge = site.project.merges[made.iid]
    site.gitlab.close(site.root, site.project, merge)
    assert propose(forge, mirror) == []
    assert len(site.project.merges) == 1


def test_a_merged_digest_is_not_proposed_again(site: Site, forge: Forge, mirror: Mirror) -> None:
    """Main has it."""
    built(site)
    (made,) = propose(forge, mirror)
    site.approve("piotr.admin", site.project.merges[made.iid])
    site.merge("piotr.admin", site.project.merges[made.iid])
    assert NEW in text(site, "main")
    assert propose(forge, mirror) == []


def test_the_next_digest_takes_the_place_of_the_last(site: Site, forge: Forge, mirror: Mirror) -> None:
    """The older proposal for the environment is closed and says why, once; that for another environment stays."""
    built(site)
    dev, prod = propose(forge, mirror, "dev", "prod")
    built(site, image=NEXT)
    (made,) = propose(forge, mirror)
    assert propose(forge, mirror) == []
    assert made.source_branch == f"ft-bot/image-dev-{'d' * 12}"
    assert states(site) == {dev.iid: "closed", prod.iid: "opened", made.iid: "opened"}
    (note,) = site.project.merges[dev.iid].notes
    assert NEXT in note.body


def test_what_a_crash_left_open_is_closed_in_the_next_round(site: Site, forge: Forge, mirror: Mirror) -> None:
    """The newer one was opened, merged even, and the older one is still there."""
    built(site)
    (old,) = propose(forge, mirror)
    built(site, image=NEXT)
    site.gitlab.faults.add(403, r"PUT /api/v4/projects/\d+/merge_requests/1", times=1)
    with pytest.raises(ForgeRefused):
        propose(forge, mirror)
    (new,) = [each for iid, each in site.project.merges.items() if iid != old.iid]
    site.approve("piotr.admin", new)
    site.merge("piotr.admin", new)
    assert states(site) == {old.iid: "opened", new.iid: "merged"}
    assert propose(forge, mirror) == []
    assert states(site)[old.iid] == "closed"


def test_older_ones_of_others_and_beside_an_unwanted_newest_stay(site: Site, forge: Forge, mirror: Mirror) -> None:
    """A person's branch of such a name is that person's; and who closes the newest may want the older one."""
    built(site)
    (old,) = propose(forge, mirror)
    change = {"README.md": "an image of mine\n"}
    foreign = site.propose(site.user("piotr.admin"), change, branch=f"ft-bot/image-dev-{'e' * 12}")
    site.gitlab.close(site.root, site.project, site.project.merges[old.iid])
    built(site, image=NEXT)
    (new,) = propose(forge, mirror)
    site.gitlab.close(site.root, site.project, site.project.merges[new.iid])
    site.project.merges[old.iid].state = "opened"
    propose(forge, mirror)
    assert states(site) == {old.iid: "opened", foreign.iid: "opened", new.iid: "closed"}


def test_each_environment_has_a_merge_request_of_its_own(site: Site, forge: Forge, mirror: Mirror) -> None:
    """Production may wait."""
    built(site)
    made = propose(forge, mirror, "dev", "prod")
    assert [request.source_branch.split("-")[2] for request in made] == ["dev", "prod"]


def test_what_is_proposed_is_not_signed(site: Site, forge: Forge, mirror: Mirror) -> None:
    """A fast-forward merge brings the commit to main as it is, where the bot's signature means a decision."""
    built(site)
    (made,) = propose(forge, mirror)
    mirror.fetch()
    tip = mirror.tip(made.source_branch)
    assert tip is not None
    assert not mirror.is_signed(tip)


def test_a_crash_after_the_push_is_made_good(site: Site, forge: Forge, mirror: Mirror) -> None:
    """The branch is there and the merge request is not: the next round opens it for the same commit."""
    built(site)
    site.gitlab.faults.add(403, r"POST /api/v4/projects/\d+/merge_requests", times=1)
    with pytest.raises(ToolFault):
        propose(forge, mirror)
    branch = f"ft-bot/image-dev-{'b' * 12}"
    pushed = site.tip(branch)
    (made,) = propose(forge, mirror)
    assert (made.source_branch, site.tip(branch)) == (branch, pushed)


def test_two_bots_at_once_open_one(site: Site, forge: Forge, mirror: Mirror) -> None:
    """The other one was faster between the look and the request: 409 is no fault."""
    built(site)
    opened: list[Merge] = []

    def first() -> None:
        if not opened:
            opened.append(site.gitlab.open(site.bot, site.project, f"ft-bot/image-dev-{'b' * 12}", title="the other's"))

    site.gitlab.faults.before(r"POST /api/v4/projects/\d+/merge_requests", first)
    assert propose(forge, mirror) == []
    assert len(site.project.merges) == 1


def test_another_registry_is_left_alone(site: Site, forge: Forge, mirror: Mirror) -> None:
    """An environment that pulls from elsewhere needs a person to copy the image there first."""
    built(site, image=f"registry.example/other/train@sha256:{'b' * 64}")
    assert propose(forge, mirror) == []


def test_without_a_build_there_is_nothing_to_do(forge: Forge, mirror: Mirror) -> None:
    """No job `build` on main has passed yet."""
    assert propose(forge, mirror) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"image": f"{IMAGE}:latest"}, "image"),
        ({"image": f"{IMAGE}@sha256:{'b' * 64}\nkueue: true"}, "image"),
        ({"version": 2}, "version"),
        ({"tag": "`@all`"}, "tag"),
        ({"commit": "main"}, "commit"),
    ],
)
def test_an_artifact_that_is_none_is_refused(
    site: Site, forge: Forge, mirror: Mirror, changed: dict[str, Any], words: str
) -> None:
    """Only a digest gets into the file, and nothing of it into markdown; the message names the field."""
    built(site, **changed)
    with pytest.raises(ToolFault, match=words):
        propose(forge, mirror)
    assert site.project.merges == {}


@pytest.mark.parametrize(
    "content", [b"[]", b"not json", b"\xff", b"[" * 200_000, b" " * (200 << 20)], ids=lambda content: repr(content[:8])
)
def test_an_artifact_that_is_no_document_is_refused(site: Site, forge: Forge, mirror: Mirror, content: bytes) -> None:
    """Nothing is pushed for it."""
    site.project.artifacts["main", "build", "reports/image.json"] = content
    with pytest.raises(ToolFault):
        propose(forge, mirror)
    assert site.project.merges == {}


def test_gitlab_away_is_tried_again_later(site: Site, forge: Forge, mirror: Mirror) -> None:
    """The next round begins anew."""
    built(site)
    site.gitlab.faults.add(503, r"GET /api/v4/projects/\d+/jobs/artifacts/.*", times=20)
    with pytest.raises(ForgeAway):
        propose(forge, mirror)


def test_a_file_with_an_unusual_line_is_left_to_people(site: Site, forge: Forge, mirror: Mirror) -> None:
    """A quoted key is valid YAML; the bot names the line to write and pushes nothing."""
    changed = (ROOT / FILE).read_text().replace("\nimage: ", '\n"image": ')
    site.gitlab.push(site.bot, site.project, "main", {FILE: changed})
    built(site)
    with pytest.raises(ToolFault, match=f"write {NEW} there"):
        propose(forge, mirror)
    assert site.project.merges == {}


@pytest.mark.parametrize(
    "line",
    ["image: {}", "image:   {}  # by digest", 'image: "{}"', "image: '{}'"],
)
def test_a_line_keeps_its_form(line: str) -> None:
    """Quotes, spaces and the comment behind it stay."""
    old = f"{IMAGE}@sha256:{'a' * 64}"
    before = f"version: 1\n# image: by digest\n{line.format(old)}\nbase: v1\n"
    assert images.changed(before, NEW) == before.replace(old, NEW)


def test_the_artifact_is_asked_for_once_a_round(site: Site, forge: Forge, mirror: Mirror) -> None:
    """However many environments there are."""
    built(site)
    propose(forge, mirror, "dev", "prod")
    site.gitlab.forget_calls()
    propose(forge, mirror, "dev", "prod")
    assert site.gitlab.count(r"GET .*/jobs/artifacts/.*") == 1
    assert site.gitlab.count(r".* /api/v4/.*") == 4
