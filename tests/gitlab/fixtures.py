"""Fixtures for pytest; a conftest brings them in: `from tests.gitlab.fixtures import gitlab, site`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.repositories import SigningKey, signing_key
from tests.gitlab.site import Site, build, write_settings
from tests.gitlab.standin import GitLab
from tools.bot.mirror import Mirror, Signer


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[GitLab]:
    """A GitLab of one's own, on a free port; empty."""
    server = GitLab(tmp_path / "gitlab").start()
    yield server
    server.stop()


@pytest.fixture
def site(gitlab: GitLab) -> Site:
    """That GitLab with this repository's data, its people and a bot."""
    return build(gitlab)


@pytest.fixture(scope="session")
def bot_key() -> Iterator[SigningKey]:
    """The bot's signing key; its home has a short path, as the agent's socket needs."""
    with tempfile.TemporaryDirectory(prefix="gpg") as folder, signing_key(Path(folder) / "home") as key:
        yield key


@pytest.fixture
def signer(bot_key: SigningKey) -> Signer:
    """Whose commits the bot makes."""
    return Signer("FT bot", "ft-bot@bank.example", bot_key.fingerprint, bot_key.home)


@pytest.fixture
def mirror(site: Site, signer: Signer, tmp_path: Path) -> Mirror:
    """The bot's own copy of the site's repository, with its token and key; fetched once."""
    token = tmp_path / "token"
    token.write_text(f"{site.bot.token}\n")
    made = Mirror(tmp_path / "mirror.git", site.gitlab.clone_url(site.project), token, signer)
    made.fetch()
    return made


@pytest.fixture
def settings_file(site: Site, signer: Signer, tmp_path: Path) -> Path:
    """The bot's settings for the site, with its secrets in files beside it."""
    return write_settings(site, signer, tmp_path / "bot")
