"""GitLab's no, and what the operator changes to turn it into a yes."""

from __future__ import annotations

from tools.bot.errors import ForgeMissing, ForgeRefused

_REMEDIES = {
    401: "the token is wrong, expired or revoked: make a new project access token (scope api, role Maintainer) and put it into the bot's token file",
    403: "the token may not do this: give the bot's account the role Maintainer and its token the scope api",
    404: "check the project id in the bot's settings, and that the bot's account is a member of that project (and of a private fork)",
    409: "somebody else made or changed the same thing: read it again before writing",
    413: "it is too large for GitLab",
    422: "GitLab calls it invalid; this is a fault of the bot, report it with this line",
}
_REDIRECT = (
    "the address has moved: put the new one into `gitlab.url` of the bot's settings (the token follows no redirect)"
)
_OTHER = "this is unexpected; report it with this line"
_MISSING = 404


def refusal(what: str, status: int, said: str) -> ForgeRefused:
    """The error for one HTTP status below 500; `said` is GitLab's own message."""
    remedy = _REDIRECT if 300 <= status < 400 else _REMEDIES.get(status, _OTHER)  # noqa: PLR2004 - HTTP's classes
    kind = ForgeMissing if status == _MISSING else ForgeRefused
    return kind(f"{what}: GitLab answered {status} ({said or 'no reason given'})", status=status, remedy=remedy)
