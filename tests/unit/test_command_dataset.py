"""`ft dataset check` and `ft dataset add`, called as a user calls them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers

from tools.cli import main
from tools.formats.dataset import Dataset
from tools.repository import Repository

FIXTURES = Path(__file__).parents[1] / "fixtures"
GOOD, BAD = FIXTURES / "datasets" / "good", FIXTURES / "datasets" / "bad"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the example repository."""
    return Path(shutil.copytree(FIXTURES / "repository", tmp_path / "repository"))


@pytest.fixture
def storage(tmp_path: Path, repository: Path) -> Path:
    """A storage that holds the base model's tokenizer: one token a word."""
    model = Repository(repository).model("smollm2-135m-instruct")
    assert model is not None
    folder = tmp_path / "storage" / "models" / "base-model" / model.path
    folder.mkdir(parents=True)
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return tmp_path / "storage"


def add(repository: Path, file: Path, *options: str, name: str = "new-data") -> int:
    """Run `ft dataset add` for team-a."""
    return main(
        ["dataset", "add", str(file), "--tenant", "team-a", "--name", name, "--repo", str(repository), *options]
    )


def test_check_prints_the_agreed_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON has the five agreed keys, each error row, line and message; errors make the exit code 1."""
    assert main(["dataset", "check", str(BAD / "null_answer.jsonl"), "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["format", "rows", "empty", "duplicates", "errors"]
    assert (found["format"], found["rows"], found["empty"], found["duplicates"]) == ("alpaca", 3, 2, 0)
    assert [list(error) for error in found["errors"]] == [["row", "line", "message"]] * 2


def test_check_prints_places_that_a_terminal_can_open(capsys: pytest.CaptureFixture[str]) -> None:
    """Each error begins with file:line, and a summary ends the output."""
    path = BAD / "number_for_text.json"
    assert main(["dataset", "check", str(path)]) == 1
    first, summary = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{path}:3: row 2: ")
    assert summary.endswith("rows 2, without an answer 0, duplicates 0, errors 1")


def test_check_of_a_good_file_is_silent_about_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """A file without errors gives exit code 0."""
    assert main(["dataset", "check", str(GOOD / "alpaca.json"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["errors"] == []


def test_columns_are_mapped_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """--column makes a file with names of its own readable."""
    options = ["--column", "prompt=pytanie", "--column", "response=odpowiedz"]
    assert main(["dataset", "check", str(BAD / "unknown_columns.jsonl"), *options]) == 0
    assert "alpaca (prompt=pytanie, response=odpowiedz)" in capsys.readouterr().out


def test_a_mistyped_column_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown column name is refused with the nearest known one."""
    assert main(["dataset", "check", str(GOOD / "alpaca.json"), "--column", "promt=a"]) == 2
    assert 'did you mean "prompt"?' in capsys.readouterr().err


def test_a_missing_file_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A path that is not there gives exit code 2 and its name."""
    assert main(["dataset", "check", "no-such-file.json"]) == 2
    assert "no-such-file.json: No such file" in capsys.readouterr().err


def test_add_writes_a_manifest_that_the_repository_reads(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The manifest holds hash, size, counts and layout, begins with a comment and says how token lengths are had."""
    assert add(repository, GOOD / "alpaca.jsonl", "--description", "Fees") == 0
    text = (repository / "tenants/team-a/datasets/new-data.yaml").read_text()
    assert text.startswith("# Dataset new-data of team-a")
    found = Repository(repository).dataset("team-a", "new-data")
    data = (GOOD / "alpaca.jsonl").read_bytes()
    assert found == Dataset(
        version=1,
        description="Fees",
        path="new-data.jsonl",
        format="alpaca",
        columns={"prompt": "instruction", "response": "output"},
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        rows=4,
        empty_rows=1,
        duplicate_rows=1,
    )
    assert "give --model NAME --storage DIR" in capsys.readouterr().err
    assert main(["validate", "--repo", str(repository), str(repository / "tenants/team-a/datasets/new-data.yaml")]) == 0


def test_add_counts_tokens_and_copies_the_file(repository: Path, storage: Path) -> None:
    """With model and storage at hand, lengths are counted with its tokenizer and the file is put in place."""
    options = ["--model", "smollm2-135m-instruct", "--storage", str(storage), "--copy", "--path", "support/fees.jsonl"]
    assert add(repository, GOOD / "alpaca.jsonl", *options) == 0
    found = Repository(repository).dataset("team-a", "new-data")
    assert found is not None
    assert found.tokens is not None
    assert found.tokens.model == "smollm2-135m-instruct"
    assert sum(found.tokens.histogram.values()) == found.rows
    copied = storage / "data/training-datasets/support/fees.jsonl"
    assert copied.read_bytes() == (GOOD / "alpaca.jsonl").read_bytes()
    assert [path.name for path in copied.parent.iterdir()] == ["fees.jsonl"]


def test_a_file_on_the_storage_keeps_its_path(repository: Path, storage: Path) -> None:
    """A file that lies on the storage already is recorded where it lies."""
    place = storage / "data/training-datasets/2026/fees.jsonl"
    place.parent.mkdir(parents=True)
    shutil.copy(GOOD / "alpaca.jsonl", place)
    assert add(repository, place, "--storage", str(storage)) == 0
    found = Repository(repository).dataset("team-a", "new-data")
    assert found is not None
    assert found.path == "2026/fees.jsonl"


def test_add_refuses_a_file_with_errors(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written, and the errors are those of check."""
    assert add(repository, BAD / "null_answer.jsonl") == 1
    assert '"output" is missing or null' in capsys.readouterr().out
    assert not (repository / "tenants/team-a/datasets/new-data.yaml").exists()


def test_add_keeps_an_existing_manifest(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second file under the same name needs --replace."""
    assert add(repository, GOOD / "alpaca.jsonl") == 0
    before = (repository / "tenants/team-a/datasets/new-data.yaml").read_bytes()
    assert add(repository, GOOD / "alpaca.json") == 2
    assert "choose another --name, or give --replace" in capsys.readouterr().err
    assert (repository / "tenants/team-a/datasets/new-data.yaml").read_bytes() == before
    assert add(repository, GOOD / "alpaca.json", "--replace") == 0


def test_a_dataset_that_a_run_relies_on_is_never_replaced(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A locked run names the dataset with its hash: another content needs another name, --replace or not."""
    lock = yaml.safe_load((repository / "overlays/dev/team-a/exp-001/run.yaml").read_text())
    name = lock["run"]["datasets"][0]["name"]
    assert add(repository, GOOD / "alpaca.jsonl", "--replace", name=name) == 2
    message = capsys.readouterr().err
    assert "exp-00" in message
    assert f"for instance {name}-2" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "Support_PL"], "a DNS label"),
        (["--tenant", "team-z"], "allowed: team-a, team-b"),
        (["--path", "../outside.jsonl"], "without . or .. parts"),
        (["--path", "data.csv"], "ends in .json or .jsonl"),
        (["--copy"], "--copy needs --storage DIR"),
        (["--model", "gpt-17"], "no valid catalog/models/gpt-17.yaml"),
        (["--storage", "/no/such/folder"], "is no folder"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_add_refuses_a_wrong_request(
    repository: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each wrong option gives exit code 2 and says what is allowed."""
    assert add(repository, GOOD / "alpaca.jsonl", *options) == 2
    assert message in capsys.readouterr().err
    assert not (repository / "tenants/team-a/datasets/new-data.yaml").exists()
