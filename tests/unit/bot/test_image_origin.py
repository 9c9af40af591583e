"""The bot signs where an image comes from, after it has held the job's statement against git; `ft verify image` believes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ci.provenance import statement
from tests.gitlab import bare
from tests.gitlab.site import Site
from tools.bot.forge import Forge
from tools.bot.mirror import Mirror
from tools.bot.records import MergeRequest
from tools.bot.upkeep import git, images
from tools.cli import main
from tools.errors import ToolFault, UsageError

DIGEST = "b" * 64
IMAGE = f"registry.example/llm-finetuning/llama-factory-train@sha256:{DIGEST}"
PLACE = f"provenance/{DIGEST}.intoto.json"
PINS = {"requirements/bootstrap.txt": "uv==1\n", "requirements/runner.txt": "torch==2\n"}
Said = dict[str, Any]


@pytest.fixture
def forge(site: Site) -> Forge:
    """The bot's view of the site."""
    return Forge(site.gitlab.url, site.project.id, site.bot.token, answer_seconds=2, patience_seconds=2)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The bot's private key; public.pem beside it is its public half."""
    made = Ed25519PrivateKey.generate()
    private = tmp_path / "key.pem"
    private.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    return private


@pytest.fixture
def said(site: Site, tmp_path: Path) -> Said:
    """What the job `build` says of an image that it built from main."""
    for name, text in PINS.items():
        (tmp_path / "job" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "job" / name).write_text(text)
    site.gitlab.push(site.bot, site.project, "main", PINS)
    variables = {
        "BASE_IMAGE": "python:3.11-slim-bookworm",
        "CI_COMMIT_SHA": site.main,
        "CI_COMMIT_REF_NAME": "main",
        "CI_PROJECT_URL": f"{site.gitlab.url}/{site.project.path}",
    }
    return statement(tmp_path / "job", PINS, variables, IMAGE, datetime.now(UTC), datetime.now(UTC))


def built(site: Site, said: object, **changed: object) -> None:
    """The job `build` has passed on main; `said` None: it found the image in the registry."""
    facts = {"version": 1, "image": IMAGE, "tag": "c-0123456789abcdef", "commit": site.main, **changed}
    site.project.artifacts["main", "build", "reports/image.json"] = json.dumps(facts).encode()
    if said is not None:
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        site.project.artifacts["main", "build", "reports/image.provenance.json"] = content


def propose(forge: Forge, mirror: Mirror, key: Path | None) -> list[MergeRequest]:
    """What a round does for dev."""
    with git.checkout(mirror) as (_, repository):
        dev = repository.environment("dev")
    assert dev is not None
    return images.propose(forge, mirror, {"dev": dev}, key)


def verified(site: Site, mirror: Mirror, branch: str, folder: Path, key: Path) -> int:
    """`ft verify image dev` in a clone of a branch."""
    mirror.fetch()
    mirror.materialise(site.tip(branch), folder, ())
    return main(["verify", "image", "dev", "--key", str(key), "--repo", str(folder)])


def test_a_statement_that_agrees_with_git_is_signed_and_verified_offline(
    site: Site, forge: Forge, mirror: Mirror, key: Path, said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The envelope is part of the proposal, its bytes are the same each time, and a clone with the public key says who and what."""
    built(site, said)
    (made,) = propose(forge, mirror, key)
    assert PLACE in made.description
    assert verified(site, mirror, made.source_branch, tmp_path / "clone", tmp_path / "public.pem") == 0
    assert f"built from {site.main}, signed by" in capsys.readouterr().out
    (tmp_path / "other").mkdir()
    stranger = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "other.pem").write_bytes(stranger)
    arguments = ["verify", "image", "--repo", str(tmp_path / "clone"), "--key"]
    assert main([*arguments, str(tmp_path / "other.pem"), "--format", "json"]) == 1
    dev, prod = json.loads(capsys.readouterr().out)
    assert "none of the given keys signed it" in dev["fault"]
    assert "nobody vouches for the image" in prod["fault"]


def test_an_envelope_of_another_image_is_a_fault(
    site: Site, forge: Forge, mirror: Mirror, key: Path, said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signed statement cannot be laid beside an image that it is not about, nor be written anew."""
    built(site, said)
    (made,) = propose(forge, mirror, key)
    clone = tmp_path / "clone"
    assert verified(site, mirror, made.source_branch, clone, tmp_path / "public.pem") == 0
    dev = clone / "environments/dev.yaml"
    dev.write_text(dev.read_text().replace(DIGEST, "e" * 64))
    (clone / PLACE).rename(clone / f"provenance/{'e' * 64}.intoto.json")
    arguments = ["verify", "image", "dev", "--repo", str(clone), "--key", str(tmp_path / "public.pem")]
    assert main(arguments) == 1
    assert "is about another image" in capsys.readouterr().out
    (clone / f"provenance/{'e' * 64}.intoto.json").write_text(
        '{"payload": "e30=", "payloadType": "x", "signatures": []}'
    )
    assert main(arguments) == 1
    assert "no in-toto statement" in capsys.readouterr().out


def _subject(said: Said) -> None:
    said["subject"][0]["digest"]["sha256"] = "e" * 64


def _two(said: Said) -> None:
    said["subject"] *= 2


def _project(said: Said) -> None:
    said["predicate"]["buildDefinition"]["resolvedDependencies"][0]["uri"] = "git+https://elsewhere.example/x"


def _pins(said: Said) -> None:
    said["predicate"]["buildDefinition"]["resolvedDependencies"][1]["digest"]["sha256"] = "e" * 64


def _outside(said: Said) -> None:
    said["predicate"]["buildDefinition"]["resolvedDependencies"][1]["uri"] = "file:../../etc/passwd"


def _no_pins(said: Said) -> None:
    del said["predicate"]["buildDefinition"]["resolvedDependencies"][1:]


def _kind(said: Said) -> None:
    said["predicateType"] = "https://example/opinion"


def _shape(said: Said) -> None:
    said["predicate"] = "@all <b>`"


@pytest.mark.parametrize("change", [_subject, _two, _project, _pins, _outside, _no_pins, _kind, _shape])
def test_a_statement_that_does_not_agree_is_not_signed(
    site: Site, forge: Forge, mirror: Mirror, key: Path, said: Said, change: Callable[[Said], None]
) -> None:
    """Another image, project or kind, other pins or none: nothing is proposed, and the message says what to do."""
    change(said)
    built(site, said)
    with pytest.raises(
        ToolFault, match=r"image.provenance.json of the job build on main: .*run it again on main"
    ) as fault:
        propose(forge, mirror, key)
    assert "@all" not in str(fault.value)
    assert site.project.merges == {}


def test_a_commit_that_main_does_not_have_is_not_vouched_for(
    site: Site, forge: Forge, mirror: Mirror, key: Path, said: Said
) -> None:
    """The job says that it built what nobody has merged."""
    site.gitlab.push(site.user("anna.nowak"), site.project, "branch", {"README.md": "x\n"}, start="main")
    built(site, said, commit=site.tip("branch"))
    with pytest.raises(ToolFault, match="is no commit of main"):
        propose(forge, mirror, key)


@pytest.mark.parametrize("content", [b"not json", b"\xff", b"[]"])
def test_a_statement_that_is_no_document_is_refused(
    site: Site, forge: Forge, mirror: Mirror, key: Path, content: bytes
) -> None:
    """Nothing is pushed for it."""
    built(site, content)
    with pytest.raises(ToolFault):
        propose(forge, mirror, key)
    assert site.project.merges == {}


def test_without_a_key_or_a_statement_the_proposal_says_that_nobody_signed(
    site: Site, forge: Forge, mirror: Mirror, key: Path
) -> None:
    """An image that was in the registry already has no statement; an admin decides with that in view."""
    built(site, None)
    (made,) = propose(forge, mirror, key)
    assert "Nobody has signed that provenance" in made.description
    changed = bare.git(site.project.bare, "diff", "--name-only", "main", made.source_branch).split()
    assert changed == ["environments/dev.yaml"]


def test_a_key_that_is_none_is_named_without_its_content(
    site: Site, forge: Forge, mirror: Mirror, tmp_path: Path, said: Said
) -> None:
    """The settings' key is the thing to correct."""
    built(site, said)
    (tmp_path / "bad.pem").write_text("hunter2-hunter2")
    for file in (tmp_path / "bad.pem", tmp_path / "nowhere.pem"):
        with pytest.raises(UsageError, match="provenance_key_file") as fault:
            propose(forge, mirror, file)
        assert "hunter2" not in str(fault.value)


def test_whose_signature_must_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No key in the repository counts: whoever changes the statement could change that as well."""
    root = str(Path(__file__).resolve().parents[3])
    assert main(["verify", "image", "--repo", root]) == 2
    assert "--key" in capsys.readouterr().err
    (tmp_path / "x.pem").write_text("no key")
    assert main(["verify", "image", "--key", str(tmp_path / "x.pem"), "--repo", root]) == 2
    assert main(["verify", "image", "../dev", "--key", str(tmp_path / "x.pem"), "--repo", root]) == 2
