"""The pages for platform admins and the decisions are true: their commands, paths, names, fields and links exist."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from tools.bot.settings import BotSettings
from tools.cli import COMMANDS, parser_of
from tools.formats.environment import Environment

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "adr").glob("[0-9]*.md"))
CONTENTS = [DOCS / f"{name}.md" for name in ("install", "operations", "gitlab-setup", "threat-model")]
PAGES = [ROOT / "README.md", *CONTENTS, *DECISIONS]
INSTALL = (DOCS / "install.md").read_text()
OPERATIONS = (DOCS / "operations.md").read_text()
TREES = ("base", "catalog", "docs", "environments", "experiments", "overlays", "runner", "tenants", "tests", "tools")
# What a reader of the pages makes with the commands in them.
EXAMPLES = {"experiments/team-a/exp-002.yaml", "overlays/dev/team-a/exp-002", "base/training/v2"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def code(text: str) -> Iterator[str]:
    """The commands in code blocks and the contents of code spans."""
    for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
        joined = re.sub(r"\s*\\\n\s*", " ", block)
        yield from (
            part for line in joined.splitlines() for part in re.split(r" && | \| ", line.strip().removeprefix("$ "))
        )
    spans = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", spans))


def ft_calls(text: str) -> Iterator[list[str]]:
    """The words of each call of ft."""
    for line in code(text):
        if line.startswith("ft "):
            yield shlex.split(re.sub(r"\s+#.*$", "", line))[1:]


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Every option of a command and of its sub-commands."""
    found = set()
    for action in parser._actions:
        found |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                found |= options_of(inner)
    return found


def slug(heading: str) -> str:
    """The anchor that GitLab and GitHub give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """All anchors of a page."""
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)}


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """`storage.nfs.path` and the like: every field that holds a value itself."""
    for name, field in model.model_fields.items():
        inner = [
            part for part in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(part, type)
        ]
        nested = next((part for part in inner if issubclass(part, BaseModel)), None)
        yield from fields(nested, f"{prefix}{name}.") if nested else [f"{prefix}{name}"]


@each_page
def test_every_call_of_ft_is_one_that_ft_takes(page: Path) -> None:
    """Each `ft COMMAND --option` of a page is a command with that option."""
    wrong = []
    for words in ft_calls(page.read_text()):
        known = options_of(parser_of(words[0])) if words[0] in COMMANDS else set()
        if not known or {word.partition("=")[0] for word in words if word.startswith("--")} - known:
            wrong.append("ft " + " ".join(words))
    assert wrong == []


@each_page
def test_every_path_of_the_repository_exists(page: Path) -> None:
    """Files and folders that a page names are there, once <env>, <tenant> and <N> are filled in."""
    missing = []
    for text in code(page.read_text()):
        for word in re.findall(rf"(?<![\w/.>-])(?:{'|'.join(TREES)})/[\w./<>*-]*", text):
            path = word.replace("<env>", "dev").replace("<tenant>", "team-a").replace("v<N>", "v1").rstrip("/.")
            if not re.search(r"[<*]", path) and path not in EXAMPLES and not (ROOT / path).exists():
                missing.append(path)
    assert missing == []


@each_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    """Relative links resolve, anchors included."""
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not anchor or anchor in anchors(target), f"{file}#{anchor}"


@each_page
def test_every_object_of_the_platform_exists(page: Path) -> None:
    """Names like `finetuning-platform` stand in base/ or in what is generated from it."""
    known = "".join(path.read_text() for tree in ("base", "overlays") for path in (ROOT / tree).rglob("*.yaml"))
    named = set(re.findall(r"\bfinetuning-[a-z]+(?:-[a-z]+)*", " ".join(code(page.read_text()))))
    assert {name for name in named if name not in known and name != "finetuning-tenant-team-a"} == set()


@pytest.mark.parametrize("page", CONTENTS, ids=lambda page: page.name)
def test_contents_are_the_chapters(page: Path) -> None:
    """A page's table of contents lists its chapters in order."""
    text = page.read_text()
    headings = [re.sub(r"^\d+\. ", "", heading) for heading in re.findall(r"^## (.+)$", text, re.MULTILINE)]
    listed = [re.sub(r"^\d+\. ", "", title) for title in re.findall(r"^\d+\. \[([^\]]+)\]\(#", text, re.MULTILINE)]
    assert listed == headings


def test_installation_explains_every_field_of_an_environment() -> None:
    """No field of environments/<env>.yaml is missing from the page."""
    assert {field for field in fields(Environment) if f"`{field}`" not in INSTALL} == set()


def test_operations_has_the_exit_codes_and_limits_of_the_job() -> None:
    """What the page says of retries and grace is what base/training/v1 says."""
    job = yaml.safe_load((ROOT / "base/training/v1/job.yaml").read_text())["spec"]
    fatal = next(rule for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob")
    assert f"| {', '.join(map(str, fatal['onExitCodes']['values']))} |" in OPERATIONS
    assert (job["backoffLimit"], "six times at most" in OPERATIONS) == (6, True)
    assert (job["template"]["spec"]["terminationGracePeriodSeconds"], "up to five minutes" in OPERATIONS) == (300, True)


def test_installation_names_the_keys_of_the_credential_that_jobs_read() -> None:
    """What a person puts into the Secret, what External Secrets puts there and what the Jobs ask for are the same keys."""
    external = yaml.safe_load((ROOT / "base/tenant/external-secret/mlflow.yaml").read_text())["spec"]
    written = {entry["secretKey"] for entry in external["data"]}
    for file in ("job", "publish"):
        job = yaml.safe_load((ROOT / f"base/training/v1/{file}.yaml").read_text())
        variables = job["spec"]["template"]["spec"]["containers"][0]["env"]
        references = [
            variable["valueFrom"].get("secretKeyRef", {}) for variable in variables if "valueFrom" in variable
        ]
        assert {
            reference["key"] for reference in references if reference.get("name") == external["target"]["name"]
        } == written
    (sentence,) = re.findall(r"`mlflow-credentials` .*? with the keys (.*?)\. ", INSTALL.replace("\n", " "))
    assert set(re.findall(r"`(\w+)`", sentence)) == written


def test_index_of_decisions_lists_each_once_in_order() -> None:
    """docs/adr/README.md has every decision; numbers have no gap."""
    listed = re.findall(r"^\| \[(\d+)\]\((\S+)\)", (DOCS / "adr" / "README.md").read_text(), re.MULTILINE)
    assert [name for _, name in listed] == [path.name for path in DECISIONS]
    assert [int(number) for number, _ in listed] == list(range(1, len(DECISIONS) + 1))


def test_every_row_of_the_threat_model_names_a_test_that_exists() -> None:
    """What the page says of an attempt is shown by a test function of that name, with that case where one is named."""
    text = (DOCS / "threat-model.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)(?:\[([^\]]+)\])?`", text)
    missing = []
    for file, function, case in named:
        source = (ROOT / file).read_text()
        if f"def {function}(" not in source or (case and f'"{case}"' not in source):
            missing.append(f"{file}::{function} {case}")
    assert missing == []
    attempts = re.findall(r"^\| attempt \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row for table in attempts for row in table.splitlines()]
    assert len(rows) > 40
    assert [row for row in rows if "::test_" not in row] == []


def test_gitlab_setup_shows_settings_that_the_bot_takes() -> None:
    """The example of the bot's settings has no fault, and .gitlab-ci.yml's variables are those of the page."""
    text = (DOCS / "gitlab-setup.md").read_text()
    example = next(
        block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "webhook_secret_file" in block
    )
    BotSettings.model_validate(yaml.safe_load(example))
    pipeline = (ROOT / ".gitlab-ci.yml").read_text()
    assert {
        name for name in ("BOT_URL", "PYTHON_IMAGE", "BASE_IMAGE") if name not in pipeline or name not in text
    } == set()
