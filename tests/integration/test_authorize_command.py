"""`ft bot authorize`, called as an admin calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.authorizing import OVERLAY, Bank, signing
from tests.gitlab.fixtures import gitlab, site
from tests.gitlab.site import Site
from tools.cli import main

__all__ = ["gitlab", "signing", "site"]


@pytest.fixture
def bank(site: Site, tmp_path: Path, signing: tuple[Path, str]) -> Bank:
    """The bank, with nothing proposed yet."""
    (tmp_path / "bot").mkdir()
    return Bank(site, tmp_path / "bot", *signing)


def config(bank: Bank, **more: Any) -> Path:
    """The bot's settings in a file."""
    token = bank.work / "gitlab-token"
    token.write_text(bank.site.bot.token)
    settings = {
        "version": 1,
        "url": "https://bot.example",
        "work": str(bank.work),
        "environments": ["dev", "prod"],
        "gitlab": {"url": bank.site.gitlab.url, "project": bank.site.project.id, "token_file": str(token)},
        "signing": {"email": "bot@bank.example", "key": bank.key, "gnupghome": str(bank.home)},
        **more,
    }
    file = bank.work / "bot.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def call(bank: Bank, *options: str, **more: Any) -> int:
    """Run the command."""
    return main(["bot", "authorize", "--config", str(config(bank, **more)), *options])


def test_it_says_what_it_authorized(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    """The run, its merge request and the commit; a second call finds nothing, in any environment."""
    merge = bank.merged()
    assert call(bank, "--environment", "dev") == 0
    out = capsys.readouterr().out
    assert "dev: experiments/team-a/exp-002.yaml: authorized (exp-002-" in out
    assert f", attempt 1), !{merge.iid}" in out
    assert f"dev: main and deployed/dev are at {bank.site.main}" in out
    assert bank.names(OVERLAY)
    assert call(bank) == 0
    assert capsys.readouterr().out == "dev: nothing to authorize\nprod: nothing to authorize\n"


def test_a_refusal_is_told_and_ends_with_one(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    """Each reason on a line of its own, and what the branch waits for."""
    site = bank.site
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    site.merge("anna.nowak", merge)
    platform = site.propose(site.user("ewa.admin"), {"base/cluster/note.yaml": "# a note\n"})
    site.merge("ewa.admin", platform)
    assert call(bank, "--environment", "dev") == 1
    captured = capsys.readouterr()
    assert "dev: experiments/team-a/exp-002.yaml: refused: the bot's comment on !1 never showed" in captured.out
    assert "dev: experiments/team-a/exp-002.yaml: refused: 0 of 1 approvals" in captured.out
    assert "dev: deployed/dev does not move: !2 changed base/cluster/note.yaml" in captured.out
    assert site.bot.token not in captured.out + captured.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--environment", "test"), "--environment test; allowed: dev, prod"),
        (("--commit", "0" * 40), "is not on main; give a commit of main"),
    ],
)
def test_wrong_usage(bank: Bank, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str) -> None:
    """Exit code 2, and what is allowed."""
    assert call(bank, *options) == 2
    assert words in capsys.readouterr().err


def test_gitlab_away_is_the_tools_fault(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, nothing decided, no token in what is printed."""
    bank.merged()
    file = config(bank)
    assert main(["bot", "authorize", "--config", str(file), "--environment", "prod"]) == 0
    bank.site.gitlab.stop()
    assert main(["bot", "authorize", "--config", str(file), "--environment", "dev"]) == 3
    captured = capsys.readouterr()
    assert "tries again later" in captured.err
    assert bank.site.bot.token not in captured.out + captured.err


def test_a_cancellation_does_not_wait_for_argo_cd(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    """Argo CD is away: the overlay goes all the same, and the operator reads what may go on."""
    bank.merged()
    assert call(bank, "--environment", "dev") == 0
    merge = bank.site.propose(bank.site.user("anna.nowak"), bank.site.experiment(state="cancelled"))
    bank.site.merge("anna.nowak", merge)
    token = bank.work / "argocd-token"
    token.write_text("a-token-of-argo-cd")
    argocd = {"dev": {"url": "http://127.0.0.1:9", "tokens": {"team-a": str(token)}}}
    assert call(bank, "--environment", "dev", argocd=argocd) == 0
    captured = capsys.readouterr()
    assert "dev: experiments/team-a/exp-002.yaml: cancelled (exp-002-" in captured.out
    assert "dev: team-a/exp-002 is cancelled, its operation may go on" in captured.err
    assert not bank.names(OVERLAY)
