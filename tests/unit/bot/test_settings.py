"""The bot's settings: one file, all faults at once, secrets by file alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.bot import settings
from tools.errors import UsageError

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "bot"


def test_the_example_is_read() -> None:
    """A complete file, and what it leaves out has the documented values."""
    read = settings.read(FIXTURES / "settings.yaml")
    assert (read.gitlab.project, read.environments) == (42, ["dev", "prod"])
    assert read.argocd["dev"].tokens["team-a"] == Path("/run/secrets/ft-bot/argocd-dev-team-a")
    assert (read.reconcile_every, read.tracking_uri) == ("5m", None)


def test_the_environment_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """FT_BOT_CONFIG stands in for --config."""
    monkeypatch.setenv(settings.VARIABLE, str(FIXTURES / "settings.yaml"))
    assert settings.read().url == "https://ft-bot.example"


def test_no_file_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither option nor variable: the message names both."""
    monkeypatch.delenv(settings.VARIABLE, raising=False)
    with pytest.raises(UsageError, match="--config FILE or set FT_BOT_CONFIG"):
        settings.read()


def test_all_faults_come_at_once_with_their_places() -> None:
    """Each wrong value, unknown key and insecure address has its line."""
    with pytest.raises(UsageError) as refused:
        settings.read(FIXTURES / "faulty.yaml")
    text = str(refused.value)
    for place in (
        "url is",
        "work is",
        "environments is",
        "gitlab.url is",
        "gitlab.project is",
        "token_fil",
        "signing.key",
    ):
        assert place in text
    assert "hunter2" not in text


@pytest.mark.parametrize("content", ["", "short", "two words in one line", "two\nlines-of-some-length"])
def test_what_is_no_secret_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    """An empty or broken secret file would let anybody in, or break headers."""
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(UsageError, match="holds no secret") as refused:
        settings.secret(file)
    assert not content or content not in str(refused.value)


def test_a_missing_secret_names_its_file(tmp_path: Path) -> None:
    """The file that is not there is named."""
    with pytest.raises(UsageError, match="put the secret there"):
        settings.secret(tmp_path / "nothing")


def test_a_line_end_is_no_part_of_a_secret(tmp_path: Path) -> None:
    """Editors and `kubectl create secret` leave line ends."""
    (tmp_path / "token").write_text("glpat-0123456789abcdef\n")
    assert settings.secret(tmp_path / "token") == "glpat-0123456789abcdef"
