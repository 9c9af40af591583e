"""Check a live cluster, or the GitLab project, for every setting that the platform needs; name what is missing with its remedy.

`ft doctor cluster --env dev` renders overlays/dev/_platform and _tenants and compares each object with the live one: Argo CD's
settings, projects and ApplicationSets, admission policies, priorities, namespaces, quotas, network rules, claims. Besides it
looks at versions, signing keys, credentials, GPU nodes, queues and MLflow.

`ft doctor gitlab --url https://gitlab.example --project 1234 --token-file FILE` reads a project's protected branches and tags,
approval settings, pipelines, variables (their names), job tokens, runners, members, webhooks: which protections hold, which need
a paid tier, and the exact setting of each that is missing. The numbers in tenant.yaml are compared with the accounts. `--config FILE` takes the
same from the bot's settings.

Both read only. Exit code 1: something is wrong.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tools.commands import status
from tools.errors import ToolFault, UsageError
from tools.repository import Repository

if TYPE_CHECKING:
    from tools.bot.forge import Forge


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft doctor`."""
    parser.add_argument("what", choices=("cluster", "gitlab"), help="what to examine")
    status.add_cluster(parser)
    gitlab = parser.add_argument_group("gitlab")
    gitlab.add_argument("--url", metavar="URL", help="GitLab's address")
    gitlab.add_argument("--project", type=int, metavar="ID", help="the project's number (on its front page)")
    help_token = "file with a token: scope read_api, role Maintainer; best the bot's own"  # noqa: S105 - no token
    gitlab.add_argument("--token-file", type=Path, metavar="FILE", help=help_token)
    gitlab.add_argument(
        "--config", type=Path, metavar="FILE", help="the bot's settings, in place of all the others here"
    )
    gitlab.add_argument("--bot", type=int, metavar="ID", help="number of the bot's account (default: the token's own)")
    gitlab.add_argument("--bot-url", metavar="URL", help="where `ft bot serve` listens, to have its webhook checked")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how it is printed (text)")


def run(args: argparse.Namespace) -> int:
    """Print what is wrong; 1 when anything is."""
    return _gitlab(args) if args.what == "gitlab" else _cluster(args)


def _cluster(args: argparse.Namespace) -> int:
    from tools.cluster.doctor import examination, text
    from tools.cluster.faults import ClusterFault

    repository = Repository.find(args.repo)
    if args.env is None:
        known = [name for name in repository.names("environments") if name != "platform"]
        raise UsageError(f"which environment is the cluster? give --env {'|'.join(known)}")
    cluster = status.connect(args)
    if isinstance(cluster, ClusterFault):
        raise cluster
    results = examination.examine(examination.site(repository, args.env, cluster))
    if args.format == "json":
        print(json.dumps([asdict(result) for result in results], indent=2, ensure_ascii=False))
    else:
        print("\n".join(text.lines(results, context=cluster.context, server=cluster.server)))
    return int(any(result.state == "wrong" for result in results))


def _gitlab(args: argparse.Namespace) -> int:
    from tools.gitlab_doctor import examination, text
    from tools.gitlab_doctor.project import Project

    repository = Repository.find(args.repo)
    forge, address = _forge(args)
    project = Project(forge, repository, args.bot or forge.me().id, address)
    results = examination.examine(project)
    if args.format == "json":
        print(json.dumps([asdict(result) for result in results], indent=2, ensure_ascii=False))
    else:
        where = str(project.settings.get("path_with_namespace"))
        print("\n".join(text.lines(results, where=where, tier="free tier" if project.free else "Premium or Ultimate")))
    return int(any(result.state == "wrong" for result in results))


def _forge(args: argparse.Namespace) -> tuple[Forge, str | None]:
    """The project and the bot's address, from the bot's settings or from the options."""
    if args.config is not None:
        from tools.bot import settings

        found = settings.read(args.config)
        return found.open_forge(), found.url
    options = ("url", "project", "token_file")
    missing = [f"--{name.replace('_', '-')}" for name in options if getattr(args, name) is None]
    if missing:
        raise UsageError(f"`ft doctor gitlab` needs {', '.join(missing)} as well, or --config; see `ft doctor --help`")
    from tools.bot.forge import Forge

    return Forge(args.url, args.project, _token(args.token_file)), args.bot_url


def _token(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ToolFault(
            f"{path} cannot be read ({type(error).__name__}); give --token-file a file with the token alone"
        ) from error
    if not token or any(character.isspace() for character in token):
        raise UsageError(f"{path} holds no token; allowed: one line with the token and nothing else")
    return token
