"""`ft models`: what MLflow lists beside what git says is served and recalled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.promoting import NAME, platform, recall, serves
from tests.unit.cluster.standin import StandIn, serving
from tools.cli import main
from tools.formats.audit import Audit

API = "/api/2.0/mlflow/"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[tuple[Path, tuple[Audit, Audit], StandIn]]:
    """Two versions in MLflow, of which the first is served."""
    root = tmp_path / "platform"
    both = platform(root)
    assert main(["promote", both[0].run_id, "--repo", str(root)]) == 0
    assert main(["expand", "--serving", "--repo", str(root)]) == 0
    with serving(StandIn()) as mlflow:
        model = {"name": NAME, "aliases": [{"alias": "champion", "version": "3"}]}
        versions = [version(record) for record in both]
        mlflow.answers = {
            f"{API}registered-models/search": {"registered_models": [model, {"name": "team-ab.other"}]},
            f"{API}registered-models/get": {"registered_model": model},
            f"{API}model-versions/search": {"model_versions": versions},
            f"{API}runs/get": {"run": {"data": {"metrics": [], "params": []}}},
        }
        yield root, both, mlflow


def version(record: Audit) -> dict[str, object]:
    """A version as MLflow gives it, with a name in a tag that would colour the terminal."""
    tags = {
        "run_id": record.run_id,
        "run_sha256": record.sha256,
        "environment": "dev",
        "evaluation": "passed\x1b[31m",
        **{f"dataset_sha256.{name}": sha256 for name, sha256 in record.hashes.datasets.items()},
    }
    listed = [{"key": key, "value": value} for key, value in tags.items()]
    return {"name": NAME, "version": str(serves(record).model_version), "run_id": "0a1b", "tags": listed}


def test_the_list_says_what_is_served(
    scene: tuple[Path, tuple[Audit, Audit], StandIn], capsys: pytest.CaptureFixture[str]
) -> None:
    """Versions with aliases, newest first; only the tenant's own; nothing of a tag but printable characters."""
    root, _, mlflow = scene
    capsys.readouterr()
    assert main(["models", "team-a", "--tracking-uri", mlflow.url, "--repo", str(root)]) == 0
    head, newer, older = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["model", "version", "aliases"]
    assert newer.split()[:2] == [NAME, "4"]
    assert older.split()[:3] == [NAME, "3", "champion"]
    assert "served in dev" in older
    assert "\x1b" not in newer + older


def test_a_served_model_of_recalled_data_is_shown_loudly(
    scene: tuple[Path, tuple[Audit, Audit], StandIn], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and a sentence that says what to do, in every format."""
    root, (first, _), mlflow = scene
    for path, text in recall(first).items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(text)
    for form in ("text", "json", "markdown"):
        capsys.readouterr()
        arguments = [
            "models",
            "--environment",
            "dev",
            "--tracking-uri",
            mlflow.url,
            "--format",
            form,
            "--repo",
            str(root),
        ]
        assert main(arguments) == 1
        out, err = capsys.readouterr()
        assert f"{NAME} version 3 IS SERVED (dev) though its data is recalled" in err
        if form == "json":
            assert [(each["version"], each["alarm"]) for each in json.loads(out)] == [(4, False), (3, True)]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["team-z"], 2, "there is no tenant 'team-z'"),
        (["compare", NAME], 2, "compare takes two versions"),
        (["compare", "x", "y"], 2, "names no version"),
        (["compare", f"{NAME}:3", f"{NAME}:9"], 2, "the registry has no team-a.customer-topics:9"),
        (["--environment", "test"], 2, "--environment test; allowed: dev, prod"),
    ],
)
def test_what_cannot_be_listed_is_said(
    scene: tuple[Path, tuple[Audit, Audit], StandIn],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    """Wrong usage is named with what is allowed."""
    root, _, mlflow = scene
    assert main(["models", *arguments, "--tracking-uri", mlflow.url, "--repo", str(root)]) == code
    assert words in capsys.readouterr().err


def test_mlflow_being_away_is_a_fault_of_the_surroundings(
    scene: tuple[Path, tuple[Audit, Audit], StandIn], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3 with the address, and no traceback."""
    root, _, _ = scene
    assert main(["models", "--tracking-uri", "http://127.0.0.1:9", "--repo", str(root)]) == 3
    assert "http://127.0.0.1:9 does not answer" in capsys.readouterr().err
