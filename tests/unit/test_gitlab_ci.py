"""The pipeline file: valid for GitLab, without secrets in jobs that a contributor can edit, and true to `ft`."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from ci.build import IMAGES
from ci.reports import FILES
from tools.cli import COMMANDS

ROOT = Path(__file__).parents[2]
SCHEMA_FOLDER = ROOT / "tests/gitlab-ci/schema"
TOKENS = re.compile(r"CI_JOB_TOKEN|CI_REGISTRY_(?:USER|PASSWORD)|CI_DEPLOY|\w*(?:SECRET|API_TOKEN|PRIVATE)\w*")
BUILDS = {"build": "runner", "build-bot": "bot"}
NOT_JOBS = {"stages", "workflow", "variables", "default"}


@pytest.fixture(scope="module")
def pipeline() -> dict[str, Any]:
    """The repository's pipeline."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def jobs(pipeline: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The pipeline's jobs by name."""
    return {name: body for name, body in pipeline.items() if name not in NOT_JOBS}


@pytest.fixture(scope="module")
def schema() -> jsonschema_rs.Draft7Validator:
    """GitLab's own schema of pipeline files."""
    return jsonschema_rs.Draft7Validator(json.loads((SCHEMA_FOLDER / "gitlab-ci.json").read_bytes()))


def commands_in(path: Path) -> set[str]:
    """The `ft` commands that a file calls."""
    return set(re.findall(r"\.venv/bin/ft ([a-z]+)", path.read_text(encoding="utf-8")))


def test_schema_is_the_one_that_its_readme_describes() -> None:
    """The committed schema has the SHA-256 that its README gives, so it was not edited to fit."""
    readme = (SCHEMA_FOLDER / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256((SCHEMA_FOLDER / "gitlab-ci.json").read_bytes()).hexdigest() in readme


def test_pipeline_is_valid_for_gitlab(pipeline: dict[str, Any], schema: jsonschema_rs.Draft7Validator) -> None:
    """GitLab's schema finds nothing wrong with the pipeline."""
    assert [f"{list(error.instance_path)}: {error.message}" for error in schema.iter_errors(pipeline)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "tests/gitlab-ci/bad").glob("*.yml")), ids=lambda path: path.stem)
def test_schema_refuses_a_broken_pipeline(path: Path, schema: jsonschema_rs.Draft7Validator) -> None:
    """The schema does refuse what GitLab refuses, so passing it says something."""
    assert not schema.is_valid(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_stages_are_the_platforms_and_each_has_its_job(
    pipeline: dict[str, Any], jobs: dict[str, dict[str, Any]]
) -> None:
    """The stages are validate, build, train and register, and each holds the job of its name; build the bot's as well."""
    assert pipeline["stages"] == ["validate", "build", "train", "register"]
    own = {stage: stage for stage in pipeline["stages"]}
    assert {name: job["stage"] for name, job in jobs.items()} == {**own, "build-bot": "build"}


def test_no_job_of_a_merge_request_names_a_token(jobs: dict[str, dict[str, Any]]) -> None:
    """Only the builds read credentials, and those are the job's own; no other job mentions a token, a password or a secret."""
    assert {name for name, job in jobs.items() if TOKENS.search(json.dumps(job))} == set(BUILDS)
    for name in BUILDS:
        assert set(TOKENS.findall(json.dumps(jobs[name]))) == {"CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"}


def test_no_job_asks_for_a_secret(pipeline: dict[str, Any], jobs: dict[str, dict[str, Any]]) -> None:
    """No job has `secrets:`, and no file is included whose content another project decides."""
    assert [name for name, job in jobs.items() if "secrets" in job] == []
    assert "include" not in pipeline


def test_id_tokens_are_for_the_bot_alone(jobs: dict[str, dict[str, Any]]) -> None:
    """Train and register say who they are to the bot's address and to nobody else; no other job gets an id token."""
    tokens = {name: job["id_tokens"] for name, job in jobs.items() if "id_tokens" in job}
    assert tokens == {name: {"BOT_ID_TOKEN": {"aud": "$BOT_URL"}} for name in ("train", "register")}


def test_credentials_are_used_on_protected_main_only(jobs: dict[str, dict[str, Any]]) -> None:
    """Each rule of the build jobs demands the default branch and that it is protected."""
    for name in BUILDS:
        conditions = [rule["if"] for rule in jobs[name]["rules"]]
        assert conditions == ['$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH && $CI_COMMIT_REF_PROTECTED == "true"']


@pytest.mark.parametrize(("name", "image"), BUILDS.items())
def test_the_image_is_built_when_an_input_of_its_tag_changes(
    name: str, image: str, jobs: dict[str, dict[str, Any]]
) -> None:
    """The paths that start a build job are those whose content makes the tag."""
    (rule,) = jobs[name]["rules"]
    assert {path.removesuffix("/**/*") for path in rule["changes"]} == set(IMAGES[image].inputs)


def test_the_bots_image_is_built_as_the_runners_is(jobs: dict[str, dict[str, Any]]) -> None:
    """Everything but what it is made of and its name is the other job's."""
    assert jobs["build-bot"]["extends"] == "build"
    assert [line.replace(" --image bot", "") for line in jobs["build-bot"]["script"]] == jobs["build"]["script"]
    assert set(jobs["build-bot"]) == {"extends", "stage", "rules", "variables", "script"}
    assert jobs["build-bot"]["variables"] == {"IMAGE": "$CI_REGISTRY_IMAGE/ft-bot"}


def test_runs_are_followed_where_there_is_a_bot(jobs: dict[str, dict[str, Any]]) -> None:
    """Without BOT_URL there is nobody to ask, and neither job is there."""
    for name in ("train", "register"):
        (rule,) = jobs[name]["rules"]
        assert rule == {"if": "$BOT_URL && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", "changes": ["experiments/**/*"]}


def test_one_pipeline_for_a_merge_request(pipeline: dict[str, Any]) -> None:
    """Merge requests and main get a pipeline, a branch's own push none, and main's is never cancelled."""
    rules = pipeline["workflow"]["rules"]
    assert [rule["if"] for rule in rules] == [
        '$CI_PIPELINE_SOURCE == "merge_request_event"',
        "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH",
    ]
    assert rules[1]["auto_cancel"] == {"on_new_commit": "none"}


def test_validate_runs_for_merge_requests_and_main_alike(jobs: dict[str, dict[str, Any]]) -> None:
    """The validate job has no rules of its own: it runs in each pipeline that the workflow makes."""
    assert "rules" not in jobs["validate"]


def test_reports_are_kept_when_validation_fails(jobs: dict[str, dict[str, Any]]) -> None:
    """Every report that the validate job declares is one that its program writes, and is uploaded also on failure."""
    artifacts = jobs["validate"]["artifacts"]
    assert artifacts["when"] == "always"
    declared = {name: FILES[Path(path).name] for name, path in artifacts["reports"].items()}
    assert declared == {"junit": "junit", "codequality": "codequality"}
    assert {Path(path).parent for path in artifacts["reports"].values()} == {Path("reports")}


@pytest.mark.parametrize("name", ["validate", "build", "train", "register"])
def test_every_program_of_a_job_is_there(name: str, jobs: dict[str, dict[str, Any]]) -> None:
    """Each job calls one module of ci/, with options that it takes, and make targets that exist."""
    script = "\n".join([*jobs[name].get("before_script", []), *jobs[name]["script"]])
    ((module, options),) = re.findall(r"python3? -m (ci\.[a-z]+)(.*)", script)
    assert options.split() == ["--reports", "reports"]
    assert callable(importlib.import_module(module).main)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [target for target in re.findall(r"make ([a-z-]+)", script) if f"\n{target}:" not in makefile] == []


def test_cache_follows_the_requirements(pipeline: dict[str, Any]) -> None:
    """The cache's key is made of requirements files that exist."""
    files = pipeline["default"]["cache"]["key"]["files"]
    assert files
    assert [one for one in files if not (ROOT / one).is_file()] == []


def test_every_ft_command_exists() -> None:
    """The pre-commit hooks call no command that `ft` lacks."""
    called = commands_in(ROOT / ".pre-commit-config.yaml")
    assert called
    assert called <= set(COMMANDS)


def test_pre_commit_hooks_are_all_local() -> None:
    """No hook comes from a repository that would have to be fetched, and all run what `make setup` installs."""
    loaded = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in loaded["repos"]] == ["local"]
    hooks = loaded["repos"][0]["hooks"]
    assert {hook["id"] for hook in hooks} == {"ruff-check", "ruff-format", "mypy", "ft-validate", "ft-expand-check"}
    assert all(hook["language"] == "system" and hook["entry"].startswith(".venv/bin/") for hook in hooks)
