"""`ft promote`, `ft recall`, `ft serve-check` and `ft expand --serving` over a copy of this repository's data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.openai_server import Served, serving
from tests.promoting import FILE, FOLDER, NAME, RECALL, platform, serves
from tools.cli import main
from tools.expand import promotions
from tools.expand import serving as overlays
from tools.formats.audit import Audit
from tools.formats.promotions import Promotion, Promotions
from tools.formats.recall import Recall
from tools.repository import Repository

DATASET = "team-a/customer-topics"
SERVER = "base/serving/v1/deployment.yaml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A platform with two versions of one model."""
    platform(tmp_path / "platform")
    return tmp_path / "platform"


def records(root: Path) -> tuple[Audit, Audit]:
    """Versions 3 and 4."""
    repository = Repository(root)
    paths = sorted(path.relative_to(root).as_posix() for path in (root / "audit/dev/team-a").glob("*.yaml"))
    found = [repository.optional(path, Audit) for path in paths]
    first, second = sorted((each for each in found if each is not None), key=lambda each: serves(each).model_version)
    return first, second


def promote(root: Path, record: Audit) -> None:
    """By hand, without a bot."""
    assert main(["promote", record.run_id, "--repo", str(root)]) == 0
    assert main(["expand", "--serving", "--repo", str(root)]) == 0


def test_promote_writes_what_validates_and_expands(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file validates, the overlay checks, and the file's removal takes the overlay away."""
    first, _ = records(root)
    promote(root, first)
    assert main(["validate", str(root / FILE), "--repo", str(root)]) == 0
    assert main(["expand", "--check", "--repo", str(root)]) == 0
    lock = overlays.read(Repository(root), FOLDER).value
    assert lock is not None
    assert (lock.content.served, lock.authorized) == (serves(first), None)
    (root / FILE).unlink()
    capsys.readouterr()
    assert main(["expand", "--serving", "--repo", str(root)]) == 0
    assert f"{FOLDER}: removed" in capsys.readouterr().out
    assert not (root / FOLDER).exists()


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda folder: (folder / "stray.txt").write_text("x"), "expand-leftover"),
        (lambda folder: (folder.parent / "stray.txt").write_text("x"), "expand-leftover"),
        (lambda folder: (folder / "pods.yaml").write_text("x"), "expand-changed"),
        (lambda folder: (folder / "route.yaml").unlink(), "expand-missing"),
        (lambda folder: shutil.copytree(folder, folder.parent / "other"), "expand-path"),
        (lambda folder: _edit(folder / "lock.yaml", "model_version: 3", "model_version: 4"), "expand-hash"),
        (lambda folder: _edit(folder.parents[4] / SERVER, "maxUnavailable: 0", "maxUnavailable: 1"), "expand-base"),
        (lambda folder: (folder.parents[4] / "base/serving/v1.sha256").unlink(), "expand-base"),
    ],
    ids=[
        "a stray file",
        "a stray file beside it",
        "a changed file",
        "a missing file",
        "another folder",
        "an edited lock",
        "an edited base",
        "a base without hashes",
    ],
)
def test_a_damaged_overlay_of_a_served_model_is_found(root: Path, damage: object, rule: str) -> None:
    """`ft expand --check` names it as it does for a run's."""
    promote(root, records(root)[0])
    assert callable(damage)
    damage(root / FOLDER)
    from tools.expand import check

    assert {each.rule for each in check.check(Repository(root)).findings} == {rule}


def _edit(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new))


def test_recalled_data_is_listed_recalled_and_then_blocks(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both models are named with their state, the served one loudly; the file validates; no other version is promoted."""
    first, second = records(root)
    promote(root, first)
    capsys.readouterr()
    assert main(["recall", DATASET, "--format", "json", "--repo", str(root)]) == 1
    rows = {row["run_id"]: row for row in json.loads(capsys.readouterr().out)}
    assert {run: (row["state"], row["served"]) for run, row in rows.items()} == {
        first.run_id: ("not recalled", True),
        second.run_id: ("not recalled", False),
    }
    command = ["recall", DATASET, "--reason", "A customer withdrew consent", "--by", "anna.nowak", "--repo", str(root)]
    assert main(command) == 1
    recall = Repository(root).optional(RECALL, Recall)
    assert recall is not None
    assert {(each.run_id, each.state) for each in recall.models} == {(first.run_id, "open"), (second.run_id, "open")}
    assert main(["validate", str(root / "recalls"), str(root / "serving"), "--repo", str(root)]) == 0  # warnings alone
    capsys.readouterr()
    assert main(["promote", second.run_id, "--repo", str(root)]) == 1
    assert "serving-recall" in capsys.readouterr().out
    assert serves(first).publication in (root / FILE).read_text()


def test_a_second_recall_keeps_what_was_decided(root: Path) -> None:
    """A cleared model stays cleared when the recall is written again."""
    first, _ = records(root)
    command = ["recall", DATASET, "--reason", "Withdrawn", "--by", "anna.nowak", "--repo", str(root)]
    assert main(command) == 0
    text = (root / RECALL).read_text()
    head, mark, tail = text.partition(f"run_id: {first.run_id}")
    (root / RECALL).write_text(head + mark + tail.replace("state: open", "state: cleared", 1))
    assert main(command) == 0
    recall = Repository(root).optional(RECALL, Recall)
    assert recall is not None
    assert recall.state_of("dev", first.run_id) == "cleared"
    assert main(["promote", first.run_id, "--repo", str(root)]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["promote", "exp-009-00000000"], "audit/ has no record"),
        (["recall", "team-a/never"], "is no dataset"),
        (["recall", DATASET, "--reason", "x"], "--by LOGIN"),
        (["recall", DATASET, "--reason", "x", "--by", "-"], "--by"),
        (["serve-check", NAME, "--url", "http://127.0.0.1:9"], "is not served"),
    ],
)
def test_what_cannot_be_done_is_said(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """Wrong usage is exit code 2 with what to give instead."""
    assert main([*arguments, "--repo", str(root)]) == 2
    assert words in capsys.readouterr().err


# --- serve-check ------------------------------------------------------------------------------------------------------
@pytest.fixture
def server(root: Path) -> Iterator[Served]:
    """Version 4 is served, as base/serving/v1 starts it."""
    promote(root, records(root)[1])
    lock = overlays.read(Repository(root), FOLDER).value
    assert lock is not None
    settings = overlays.settings(lock.content)
    place = f"/models/{settings['MODEL_FOLDER']}"
    names = (settings["MODEL_NAME"], f"{settings['MODEL_NAME']}@{settings['MODEL_HASH12']}")
    with serving(Served(dict.fromkeys(names, place))) as served:
        yield served


def asked(root: Path, server: Served, *more: str) -> int:
    """The command's exit code."""
    return main(["serve-check", NAME, "--url", server.url, "--repo", str(root), *more])


def test_what_git_says_is_what_answers(root: Path, server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """Both names and the path agree."""
    assert asked(root, server) == 0
    assert "serves version 4" in capsys.readouterr().out


def test_an_older_version_that_still_answers_is_named(
    root: Path, server: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its hash, through the record of what was served."""
    first, second = records(root)
    record = Promotions(
        version=1, tenant="team-a", environment="dev", model_name="customer-topics",
        promotions=[_entry(first), _entry(second)],
    )  # fmt: skip
    (root / record.file).parent.mkdir(parents=True)
    (root / record.file).write_bytes(promotions.content(record))
    place = f"/models/customer-topics/{first.run_id}"
    server.models = {NAME: place, f"{NAME}@{serves(first).publication[:12]}": place}
    assert asked(root, server) == 1
    said = capsys.readouterr().out
    assert f"which is version 3, run {first.run_id}" in said
    assert "was loaded from" in said


def _entry(record: Audit) -> Promotion:
    allowed = record.last.authorized
    return Promotion(
        served=serves(record), at=allowed.at, merge_request=7, merged_at=allowed.at, merged_by=None,
        author=allowed.author, commit=allowed.commit, required_approvals=1, approvals=allowed.approvals,
    )  # fmt: skip


def test_a_server_without_the_name_or_the_hash_is_named(
    root: Path, server: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another model, and one that was started without the second name."""
    server.models = {"llama": "/models/llama"}
    assert asked(root, server) == 1
    assert 'the server has no model "team-a.customer-topics"; allowed: llama' in capsys.readouterr().out
    server.models = {NAME: ""}
    assert asked(root, server) == 1
    assert "does not say which content" in capsys.readouterr().out


def test_probes_ask_the_model_and_judge_its_answers(
    root: Path, server: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """A behaviour file of the tenant's: an answer that fails a check is exit code 1 with the case's name."""
    file = root / "tenants/team-a/behaviours/topics.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "version: 1\ndescription: Topics\ncases:\n  - name: card\n    prompt: I lost my card\n    checks: {contains: [card]}\n"
    )
    server.answers = {"I lost my card": "Topic: card"}
    assert asked(root, server, "--probes", str(file)) == 0
    assert server.asked[0]["temperature"] == 0
    server.answers = {"I lost my card": "Topic: loan"}
    assert asked(root, server, "--probes", str(file)) == 1
    assert "card:" in capsys.readouterr().out


def test_the_key_is_sent_and_never_shown(
    root: Path, server: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that wants a key: refused without it, fine with it; no message holds it."""
    server.key = "sk-secret-of-the-gateway"
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert asked(root, server) == 3
    assert "OPENAI_API_KEY holds the key" in capsys.readouterr().err
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-and-secret")
    assert asked(root, server) == 3
    assert "sk-" not in "".join(capsys.readouterr())
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    assert asked(root, server) == 0


def test_a_folder_that_changed_is_found_on_the_storage(
    root: Path, server: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not there, or its record has another hash than was promoted."""
    assert asked(root, server, "--storage", str(tmp_path)) == 1
    assert "is not there" in capsys.readouterr().out
    folder = tmp_path / "models/merged-model/customer-topics" / records(root)[1].run_id
    folder.mkdir(parents=True)
    (folder / "publication.json").write_text("{}")
    assert asked(root, server, "--storage", str(tmp_path)) == 1
    assert "which was promoted" in capsys.readouterr().out
