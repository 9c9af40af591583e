"""The job `build`: its tag, the statement of origin, and what it does when the image is there."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ci.build import IMAGES, tag
from ci.provenance import statement
from tests.unit.ci.conftest import Checkout

RUNNER, BOT = IMAGES["runner"], IMAGES["bot"]
INPUTS = RUNNER.inputs
BASE = "python:3.11-slim-bookworm"
IMAGE = f"registry.example/ml/llama-factory-train@sha256:{'d' * 64}"


@pytest.fixture
def sources(checkout: Checkout) -> Checkout:
    """A checkout with one file for each input of the image."""
    checkout.commit({path if "." in path or path == "Dockerfile" else f"{path}/a.py": f"{path}\n" for path in INPUTS})
    return checkout


def test_the_tag_is_of_the_content(sources: Checkout) -> None:
    """Another commit with the same inputs has the same tag, so nothing is built twice."""
    before = tag(sources.root, RUNNER, BASE)
    sources.commit({"README.md": "more\n", "experiments/team-a/exp-009.yaml": "a: 1\n"})
    assert tag(sources.root, RUNNER, BASE) == before
    assert before.startswith("c-")
    assert len(before) == 18


@pytest.mark.parametrize("path", [path if "." in path or path == "Dockerfile" else f"{path}/a.py" for path in INPUTS])
def test_every_input_changes_the_tag(path: str, sources: Checkout) -> None:
    """A change of any input is another image."""
    before = tag(sources.root, RUNNER, BASE)
    sources.commit({path: "another\n"})
    assert tag(sources.root, RUNNER, BASE) != before


def test_mode_and_base_image_change_the_tag(sources: Checkout) -> None:
    """An executable file and another base image are another image too."""
    before = tag(sources.root, RUNNER, BASE)
    assert tag(sources.root, RUNNER, f"{BASE}@sha256:{'e' * 64}") != before
    (sources.root / "runner/a.py").chmod(0o755)
    sources.commit({})
    assert tag(sources.root, RUNNER, BASE) != before


def test_uncommitted_files_do_not_count(sources: Checkout) -> None:
    """What is not in the commit is not in the tag: a job's leftovers build nothing."""
    before = tag(sources.root, RUNNER, BASE)
    (sources.root / "runner/leftover.py").write_text("x\n")
    assert tag(sources.root, RUNNER, BASE) == before


def test_the_statement_is_about_the_pushed_digest(sources: Checkout) -> None:
    """An in-toto statement with SLSA provenance: subject, source commit, pins, builder, times; no credential in it."""
    variables = {
        "BASE_IMAGE": BASE,
        "CI_COMMIT_SHA": sources.head,
        "CI_COMMIT_REF_NAME": "main",
        "CI_PROJECT_URL": "https://gitlab.example/ml/platform",
        "CI_SERVER_URL": "https://gitlab.example",
        "CI_RUNNER_ID": "7",
        "CI_JOB_URL": "https://gitlab.example/ml/platform/-/jobs/1",
        "CI_REGISTRY_PASSWORD": "hunter2-hunter2",
    }
    begun, ended = datetime(2026, 11, 23, 8, tzinfo=UTC), datetime(2026, 11, 23, 9, tzinfo=UTC)
    said = statement(sources.root, RUNNER.pins, variables, IMAGE, begun, ended)
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["subject"] == [{"name": "registry.example/ml/llama-factory-train", "digest": {"sha256": "d" * 64}}]
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    dependencies = {
        each["uri"]: each["digest"] for each in said["predicate"]["buildDefinition"]["resolvedDependencies"]
    }
    assert dependencies["git+https://gitlab.example/ml/platform"] == {"gitCommit": sources.head}
    pins = hashlib.sha256((sources.root / "requirements/runner.txt").read_bytes()).hexdigest()
    assert dependencies["file:requirements/runner.txt"] == {"sha256": pins}
    assert said["predicate"]["runDetails"]["metadata"]["startedOn"] == "2026-11-23T08:00:00+00:00"
    assert "hunter2" not in json.dumps(said)


def test_the_statement_names_no_file_that_is_not_there(sources: Checkout) -> None:
    """The pins that the statement hashes are files of this repository."""
    root = Path(__file__).resolve().parents[3]
    said = statement(
        root,
        [*RUNNER.pins, *BOT.pins],
        {"BASE_IMAGE": BASE, "CI_COMMIT_SHA": sources.head},
        IMAGE,
        datetime.now(UTC),
        datetime.now(UTC),
    )
    assert len(said["predicate"]["buildDefinition"]["resolvedDependencies"]) == 5


def test_the_bots_image_has_a_tag_of_its_own_inputs(sources: Checkout) -> None:
    """The runner's own files change the runner's tag alone, and what the bot is made of changes the bot's."""
    sources.commit({"bot.Dockerfile": "FROM scratch\n"})
    runner, bot = tag(sources.root, RUNNER, BASE), tag(sources.root, BOT, BASE)
    sources.commit({"runner/a.py": "another\n"})
    assert tag(sources.root, BOT, BASE) == bot
    assert tag(sources.root, RUNNER, BASE) != runner
    for path in ("bot.Dockerfile", "bot.Dockerfile.dockerignore", "requirements/bot.txt", "tools/a.py"):
        before = tag(sources.root, BOT, BASE)
        sources.commit({path: "something else\n"})
        assert tag(sources.root, BOT, BASE) != before


@pytest.mark.parametrize("image", IMAGES)
def test_everything_that_a_dockerfile_copies_is_an_input(image: str) -> None:
    """A folder or file that enters the image without changing its tag would never be built."""
    root = Path(__file__).resolve().parents[3]
    made_of = IMAGES[image]
    assert [path for path in made_of.inputs if not (root / path).exists()] == []
    lines = (root / made_of.dockerfile).read_text().splitlines()
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    assert copied
    inside = (*made_of.pins, *made_of.folders)
    assert [path for path in copied if not path.startswith(inside)] == []
