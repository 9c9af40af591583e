"""`ft doctor gitlab` over HTTP against the GitLab stand-in: each protection, there and missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gitlab.model import Role
from tests.gitlab.site import Site
from tests.unit.gitlab_doctor.conftest import BOT_URL, ROOT
from tools.cli import main


def examined(site: Site, token_file: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, Any]]:
    """The JSON that the command prints; its exit code says whether something is wrong."""
    place = ["--url", site.gitlab.url, "--project", str(site.project.id), "--token-file", str(token_file)]
    code = main(["doctor", "gitlab", *place, "--repo", str(ROOT), "--bot-url", BOT_URL, "--format", "json", *more])
    results: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert code == int(any(result["state"] == "wrong" for result in results))
    return results


def wrong(results: list[dict[str, Any]]) -> set[str]:
    """The checks that found something wrong."""
    return {result["check"] for result in results if result["state"] == "wrong"}


def test_secured_project_has_nothing_wrong(secured: Site, token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With every setting as the page wants it nothing is wrong and nothing needs a paid tier."""
    results = examined(secured, token_file, capsys)
    assert [result for result in results if result["state"] in {"wrong", "paid"}] == []
    assert sum(result["state"] == "right" for result in results) > 30


BREAKS: dict[str, tuple[str, Callable[[Site], object]]] = {
    "main is not protected": ("branch-protected", lambda site: site.project.protected.pop("main")),
    "deployed/prod is not protected": ("branch-protected", lambda site: site.project.protected.pop("deployed/prod")),
    "developers push to main": (
        "branch-push",
        lambda site: site.project.protect("main", push=Role.DEVELOPER, merge=Role.DEVELOPER, pushers={site.bot.id}),
    ),
    "maintainers push to deployed/dev": (
        "branch-push",
        lambda site: site.project.protect("deployed/dev", push=Role.MAINTAINER, merge=Role.NONE, pushers={site.bot.id}),
    ),
    "somebody else pushes to main": (
        "branch-push",
        lambda site: site.project.protected["main"].pushers.add(site.mallory.id),
    ),
    "a second, wider rule matches": (
        "branch-push",
        lambda site: site.project.protect("deployed/*", push=Role.DEVELOPER, merge=Role.NONE),
    ),
    "the bot cannot push": ("branch-push", lambda site: site.project.protected["main"].pushers.clear()),
    "nobody merges": (
        "branch-merge",
        lambda site: site.project.protect("main", push=Role.NONE, merge=Role.NONE, pushers={site.bot.id}),
    ),
    "merge requests into deployed/dev": (
        "branch-merge",
        lambda site: site.project.protect("deployed/dev", merge=Role.MAINTAINER, pushers={site.bot.id}),
    ),
    "force pushes": (
        "branch-force",
        lambda site: setattr(site.project.protected["main"], "allow_force_push", True),
    ),
    "tags named like the branch": ("tag-protected", lambda site: site.project.protected_tags.clear()),
    "approvals outlive a push": (
        "approval-settings",
        lambda site: setattr(site.project, "reset_approvals_on_push", False),
    ),
    "authors approve": (
        "approval-settings",
        lambda site: site.project.approval_settings.update(merge_requests_author_approval=True),
    ),
    "a rule that nobody can satisfy": (
        "approval-rules",
        lambda site: site.project.approval_rules.append(
            {
                "id": 5,
                "name": "team-a",
                "rule_type": "regular",
                "approvals_required": 2,
                "eligible_approvers": [{"id": 201}],
            }
        ),
    ),
    "merging before validation": (
        "pipeline-must-succeed",
        lambda site: site.project.settings.update(only_allow_merge_if_pipeline_succeeds=False),
    ),
    "skipped pipelines count": (
        "skipped-pipeline",
        lambda site: site.project.settings.update(allow_merge_on_skipped_pipeline=True),
    ),
    "a public project": ("visibility", lambda site: setattr(site.project, "visibility", "public")),
    "an unknown merge method": ("merge-method", lambda site: site.project.settings.update(merge_method="octopus")),
    "forks run here": (
        "fork-pipelines",
        lambda site: site.project.settings.update(ci_allow_fork_pipelines_to_run_in_parent_project=True),
    ),
    "a secret in the pipelines": (
        "variables",
        lambda site: site.project.variables.append(
            {"key": "MLFLOW_PASSWORD", "value": "hunter2-hunter2", "protected": True}
        ),
    ),
    "developers give variables": (
        "pipeline-variables",
        lambda site: site.project.settings.update(ci_pipeline_variables_minimum_override_role="developer"),
    ),
    "another pipeline file": (
        "pipeline-file",
        lambda site: site.project.settings.update(ci_config_path="ci.yml@others/project"),
    ),
    "shared caches": ("separate-caches", lambda site: site.project.settings.update(ci_separated_caches=False)),
    "job tokens of everybody": (
        "job-token",
        lambda site: site.project.job_token_scope.update(inbound_enabled=False),
    ),
    "job tokens push": (
        "job-token-push",
        lambda site: site.project.settings.update(ci_push_repository_for_job_token_allowed=True),
    ),
    "no runner": ("runners", lambda site: site.project.runners.clear()),
    "an approver who left": ("account", lambda site: site.project.accounts.pop(201)),
    "a user name taken over": (
        "account",
        lambda site: setattr(site.user("maria.wisniewska"), "username", "maria.nowak"),
    ),
    "an approver as guest": (
        "account",
        lambda site: site.project.grant(site.user("maria.wisniewska"), Role.GUEST),
    ),
    "a maintainer too many": ("access", lambda site: site.project.grant(site.mallory, Role.MAINTAINER)),
    "a token of all scopes": (
        "token",
        lambda site: setattr(site.bot, "scopes", ("api", "write_repository", "sudo")),
    ),
    "no webhook": ("webhook", lambda site: site.project.hooks.clear()),
    "a webhook that hears no merge requests": (
        "webhook",
        lambda site: setattr(site.project.hooks[0], "events", ("push",)),
    ),
}


@pytest.mark.parametrize("title", BREAKS)
def test_each_missing_protection_is_named_with_its_setting(
    title: str, secured: Site, token_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One protection taken away is found, alone, with what was found, what is wanted and the setting that brings it back."""
    check, take_away = BREAKS[title]
    take_away(secured)
    results = examined(secured, token_file, capsys)
    assert wrong(results) == {check}
    assert all(
        result["found"] and result["wanted"] and (">" in result["remedy"] or ".yaml" in result["remedy"])
        for result in results
        if result["state"] == "wrong"
    )


def test_webhook_without_tls_is_named(secured: Site, token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A webhook that sends its secret in the clear is wrong."""
    plain = BOT_URL.replace("https", "http")
    secured.project.hooks[0].url = f"{plain}/webhook"
    assert wrong(examined(secured, token_file, capsys, "--bot-url", plain)) == {"webhook-tls"}


def test_free_tier_says_what_holds_without_it(
    secured: Site, token_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the free tier approvals and per-account pushes are `paid`, not wrong, and the remedy says what protects instead."""
    secured.project.tier = "free"
    for branch in ("main", "deployed/dev", "deployed/prod"):
        merge = Role.DEVELOPER if branch == "main" else Role.NONE
        secured.project.protect(branch, push=Role.MAINTAINER, merge=merge)
    results = examined(secured, token_file, capsys)
    assert wrong(results) == set()
    found = [result for result in results if result["state"] == "paid"]
    assert {result["check"] for result in found} == {"branch-push", "approval-settings", "approval-rules"}
    assert all("the bot" in result["remedy"] for result in found)


def test_the_bot_is_nobodys_approver(secured: Site, token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An account that the files name as approver cannot be the bot's."""
    approver = secured.user("maria.wisniewska")
    results = examined(secured, token_file, capsys, "--bot", str(approver.id))
    assert "account" in wrong(results)
    assert any(result["found"] == "the bot itself" for result in results)


def test_no_secret_is_printed(secured: Site, token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the token nor any variable's value stands in either format."""
    secured.project.variables.append({"key": "PASSWORD", "value": "hunter2-hunter2", "protected": False})
    place = ["--url", secured.gitlab.url, "--project", str(secured.project.id), "--token-file", str(token_file)]
    for format_ in ("text", "json"):
        assert main(["doctor", "gitlab", *place, "--repo", str(ROOT), "--format", format_]) == 1
        said = capsys.readouterr()
        assert "PASSWORD" in said.out
        assert secured.bot.token not in said.out + said.err
        assert "hunter2" not in said.out + said.err


def test_text_counts_every_state(secured: Site, token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text ends with the project, its tier and how many protections hold."""
    place = ["--url", secured.gitlab.url, "--project", str(secured.project.id), "--token-file", str(token_file)]
    assert main(["doctor", "gitlab", *place, "--repo", str(ROOT)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("ml/llm-finetuning (Premium or Ultimate): ")
    assert " 0 are missing, 0 need a paid tier" in last


def test_what_a_token_may_not_read_is_unseen(secured: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a developer's token settings for maintainers are `unseen` with what token to take, and the rest is examined."""
    path = tmp_path / "developer"
    path.write_text(secured.mallory.token)
    results = examined(secured, path, capsys, "--bot", str(secured.bot.id))
    unseen = {result["check"] for result in results if result["state"] == "unseen"}
    assert unseen >= {"variables", "protected-tags", "webhook", "runners", "job-token"}
    assert wrong(results) <= {"token"}


@pytest.mark.parametrize(
    ("content", "code", "words"), [(None, 3, "--token-file"), ("", 2, "no token"), ("two words", 2, "one line")]
)
def test_a_useless_token_file_is_refused(
    content: str | None, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is not there or holds no token is named before GitLab is asked anything."""
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    place = ["--url", "http://127.0.0.1:1", "--project", "1", "--token-file", str(path)]
    assert main(["doctor", "gitlab", *place, "--repo", str(ROOT)]) == code
    assert words in capsys.readouterr().err


def test_missing_options_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Without the project's address the command says which options it needs."""
    assert main(["doctor", "gitlab", "--repo", str(ROOT)]) == 2
    assert "--url, --project, --token-file" in capsys.readouterr().err


def test_the_bots_settings_name_everything(
    secured: Site, token_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --config the address, the project, the token and the webhook's address are those of the bot's settings."""
    config = tmp_path / "bot.yaml"
    config.write_text(
        f"version: 1\nurl: {BOT_URL}\nwork: {tmp_path}/work\nenvironments: [dev, prod]\n"
        f"gitlab: {{url: '{secured.gitlab.url}', project: {secured.project.id}, token_file: {token_file}}}\n"
        f"signing: {{email: ft-bot@bank.example, key: {'A' * 40}, gnupghome: {tmp_path}/gnupg}}\n"
    )
    assert main(["doctor", "gitlab", "--config", str(config), "--repo", str(ROOT), "--format", "json"]) == 0
    assert any(result["check"] == "webhook-tls" for result in json.loads(capsys.readouterr().out))
