"""The bot's settings: one YAML file, named by --config or FT_BOT_CONFIG. Secrets are never in it, only the files that hold them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from tools import writing
from tools.errors import UsageError
from tools.formats.base import Duration, Label, Strict
from tools.formats.parse import parse
from tools.yamlsource import load

if TYPE_CHECKING:
    from tools.bot.forge import Forge
    from tools.bot.mirror import Mirror
    from tools.bot.store import Store

VARIABLE = "FT_BOT_CONFIG"
SHORTEST_SECRET = 16
_LOGIN_IN_URL = re.compile(r"//[^/\s]*@")


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("an absolute path")
    return path


AbsolutePath = Annotated[Path, Field(strict=False), AfterValidator(_absolute)]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{40}$")]
# A token goes there: in the clear to this machine only, and no user or password in the address.
SecureUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^(https://[^\s/@?#]+|http://(127\.0\.0\.1|localhost)(:[0-9]+)?)(/[^\s@?#]*[^\s@?#/])?$"
    ),
]
AnyUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*[^\s@?#/])?$")]


class GitLab(Strict):
    """The forge."""

    url: Annotated[SecureUrl, Field(description="https://gitlab.example, without /api and without a / at the end")]
    project: Annotated[int, Field(ge=1, description="The project's numeric id (Settings > General)")]
    token_file: Annotated[AbsolutePath, Field(description="Holds a project access token: role Maintainer, scope api")]
    webhook_secret_file: Annotated[
        AbsolutePath | None, Field(description="Holds the webhook's secret token; `ft bot serve` needs it")
    ] = None


class Signing(Strict):
    """Whose signed commits the bot makes."""

    name: Annotated[str, Field(min_length=1, max_length=100)] = "FT bot"
    email: Annotated[str, Field(pattern=r"^[^\s@<>]+@[^\s@<>]+$", max_length=200)]
    key: Annotated[Fingerprint, Field(description="Fingerprint of the key that signs, 40 digits, without spaces")]
    gnupghome: Annotated[AbsolutePath, Field(description="GnuPG's folder with the private key, mode 0700")]
    provenance_key_file: Annotated[
        AbsolutePath | None,
        Field(description="Holds the ed25519 key (PEM) that signs where images come from; unsigned when omitted"),
    ] = None
    trusted: Annotated[
        list[Fingerprint], Field(description="Fingerprints of earlier keys whose commits still count as the bot's")
    ] = []


class ArgoCD(Strict):
    """The Argo CD of one environment."""

    url: Annotated[AnyUrl, Field(description="argocd-server's address")]
    tokens: Annotated[
        dict[Label, AbsolutePath], Field(description="tenant -> file with the token of its project's role `bot`")
    ] = {}


class BotSettings(Strict):
    """All of the bot's settings."""

    version: Literal[1]
    url: Annotated[SecureUrl, Field(description="The bot's own address: webhook's target, audience of jobs' id tokens")]
    work: Annotated[AbsolutePath, Field(description="Folder for the bot's store and its copy of the repository")]
    environments: Annotated[list[Label], Field(min_length=1, description="Environments that this bot deploys to")]
    gitlab: GitLab
    signing: Signing
    argocd: Annotated[
        dict[Label, ArgoCD], Field(description="environment -> its Argo CD; without one nothing is synced again")
    ] = {}
    kubeconfig: Annotated[
        AbsolutePath | None, Field(description="For the runs' states; KUBECONFIG or in-cluster when omitted")
    ] = None
    contexts: Annotated[dict[Label, str], Field(description="environment -> the kubeconfig's context")] = {}
    tracking_uri: Annotated[str | None, Field(description="MLflow, when it is not the one that the run logs to")] = None
    reconcile_every: Annotated[Duration, Field(description="How often missed events are made up for")] = "5m"
    follow_every: Annotated[Duration, Field(description="How often comments of running experiments are updated")] = "1m"

    def open_forge(self) -> Forge:
        """GitLab with the token as its file has it now. One for each thread."""
        from tools.bot.forge import Forge

        return Forge(self.gitlab.url, self.gitlab.project, secret(self.gitlab.token_file))

    def open_mirror(self, forge: Forge | None = None) -> Mirror:
        """The bot's copy of the repository. One for each thread.

        Raises:
            ForgeAway, ForgeRefused: the copy is made for the first time, and GitLab does not tell the project's address.
        """
        from tools.bot.mirror import Mirror, Signer

        key = self.signing
        signer = Signer(key.name, key.email, key.key, key.gnupghome, tuple(key.trusted))
        return Mirror(self.work / "mirror.git", self._clone_url(forge), self.gitlab.token_file, signer)

    def _clone_url(self, forge: Forge | None) -> str:
        """Below the address of the settings, whatever GitLab calls itself: the token goes nowhere else. Asked for once."""
        known = self.work / f"project-{self.gitlab.project}"
        if not known.exists():
            path = (forge or self.open_forge()).project().path
            writing.write_text(known, path)
        return f"{self.gitlab.url}/{known.read_text(encoding='utf-8')}.git"

    def open_store(self) -> Store:
        """What the bot remembers. One for each thread."""
        from tools.bot.store import Store

        return Store(self.work / "store.sqlite")


def read(path: Path | None = None) -> BotSettings:
    """The settings of a file, or of the one that FT_BOT_CONFIG names.

    Raises:
        UsageError: there is no such file, or it has faults; all of them are in the message.
    """
    named = os.environ.get(VARIABLE)
    if path is None and not named:
        raise UsageError(
            f"where are the bot's settings? give --config FILE or set {VARIABLE}; docs/gitlab-setup.md has an example"
        )
    file = path or Path(str(named))
    if not file.is_file():
        raise UsageError(f"{file} is not there; give --config FILE or set {VARIABLE}")
    parsed = parse(BotSettings, load(file, str(file)))
    if parsed.findings or parsed.value is None:
        faults = [f"{each.file}:{each.line}:{each.column}: {_shown(each.message)}" for each in parsed.findings]
        raise UsageError("the bot's settings have faults:\n" + "\n".join(faults))
    return parsed.value


def _shown(message: str) -> str:
    """Without the user and password of an address, which do not belong there and even less into a log."""
    return _LOGIN_IN_URL.sub("//***@", message).replace("allowed: Value error, ", "allowed: ")


def secret(file: Path) -> str:
    """What a secret's file holds, without white space around it.

    Raises:
        UsageError: it cannot be read, or is too short to be one.
    """
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file}: {getattr(error, 'strerror', None) or 'no text'}; put the secret there, readable by the bot"
        ) from None
    if len(text) < SHORTEST_SECRET or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(f"{file} holds no secret: one line of at least {SHORTEST_SECRET} characters is expected")
    return text
