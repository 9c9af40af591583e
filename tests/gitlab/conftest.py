"""The GitLab stand-in for all tests of the bot."""

from tests.gitlab.fixtures import bot_key, gitlab, mirror, settings_file, signer, site

__all__ = ["bot_key", "gitlab", "mirror", "settings_file", "signer", "site"]
