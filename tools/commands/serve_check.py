"""Ask a running vLLM which model it serves, compare it with what git says, and probe its answers.

  ft serve-check team-a.support --url http://model-support.team-a-serving.svc:8000
  ft serve-check team-a.support --storage /mnt/team-a --probes tenants/team-a/behaviours/basics.yaml

Without --url the environment's gateway is asked, which proves the route as well. --storage also compares the folder: every file
with publication.json, that with the promoted hash, and the certificate with both. OPENAI_API_KEY, where it is set, is sent as
the key. Exit code 1: something differs, or a probe fails. 3: nothing answers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import UsageError
from tools.repository import Repository

if TYPE_CHECKING:
    from tools.formats.behaviour import Behaviour
    from tools.formats.serving_lock import ServingContent

_MERGED = "models/merged-model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft serve-check`."""
    parser.add_argument("model", metavar="TENANT.MODEL", help="the registered name")
    parser.add_argument("--environment", "--env", metavar="E", help="where (default: where it is served)")
    parser.add_argument("--url", metavar="URL", help="the server, without /v1 (default: the environment's gateway)")
    parser.add_argument("--storage", type=Path, metavar="DIR", help=f"the tenant's storage, which holds {_MERGED}/")
    parser.add_argument(
        "--probes", type=Path, metavar="FILE", help="prompts and checks: a file of tenants/<tenant>/behaviours/"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how it is printed (text)")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Print what differs; 1 when something does.

    Raises:
        UsageError: nothing of that name is served, or there is no address.
        ServerAway: nothing usable answers.
    """
    from tools.expand import serving
    from tools.serving_probe import Server, probe

    repository = Repository.find(args.repo)
    content = _content(repository, args.model, args.environment)
    behaviour = _behaviour(repository, args.probes) if args.probes is not None else None
    server = Server(args.url.rstrip("/") if args.url else _gateway(content))
    if not server.url.startswith(("http://", "https://")):
        raise UsageError(f"--url {args.url}; allowed: http://... or https://...")
    found = [
        *_identity(repository, content, server),
        *(_stored(repository, content, args.storage) if args.storage else ()),
    ]
    if behaviour is not None and not found:  # answers of another model prove nothing
        found += probe(server, serving.settings(content)["MODEL_NAME"], behaviour.cases, behaviour.refusal_phrases)
    _print(content, server.url, found, args.format)
    return int(bool(found))


def _content(repository: Repository, name: str, environment: str | None) -> ServingContent:
    from tools.models.served import served

    everything = [each.lock.content for each in served(repository, environment)]
    found = [content for content in everything if content.registered_name == name]
    if not found:
        known = ", ".join(sorted(f"{each.registered_name} in {each.environment}" for each in everything)) or "nothing"
        raise UsageError(f"{name!r} is not served; served is {known}; `git pull`, or promote it with `ft promote`")
    if len(found) > 1:
        raise UsageError(f"{name} is served in {', '.join(each.environment for each in found)}; give --environment")
    return found[0]


def _gateway(content: ServingContent) -> str:
    from tools.expand.gateways import path_of

    if content.gateway is None:
        raise UsageError(
            f"environments/{content.environment}.yaml names no gateway; give the server's address with --url"
        )
    return f"https://{content.gateway.hostname}{path_of(content)}"


def _identity(repository: Repository, content: ServingContent, server: object) -> Iterator[str]:
    from tools.formats.promotions import Promotions, path
    from tools.serving_probe import Server, faults

    assert isinstance(server, Server)
    file = path(content.environment, content.tenant, content.model_name)
    yield from faults(content, server.models(), repository.optional(file, Promotions))


def _stored(repository: Repository, content: ServingContent, storage: Path) -> Iterator[str]:
    """The folder against its records, and those against what was promoted."""
    from tools.dsse import public_key
    from tools.verify_model import verify

    folder = storage / _MERGED / content.model_name / content.served.run_id
    if not folder.is_dir():
        yield f"{folder} is not there; mount the tenant's storage at --storage"
        return
    known = repository.environment(content.environment)
    signing = known.model_signing if known is not None else None
    keys = [public_key(text.encode()) for text in (signing.public_keys if signing is not None else ())]
    found = verify(folder, keys, must_be_signed=bool(keys))
    yield from found.faults
    if found.publication_sha256 != content.served.publication:
        wanted, there = content.served.publication, found.publication_sha256 or "nothing"
        yield f"{folder}/publication.json has the hash {there}; allowed: {wanted}, which was promoted; serve nothing of it"


def _behaviour(repository: Repository, file: Path) -> Behaviour:
    from tools.formats.behaviour import Behaviour

    if not file.is_file():
        raise UsageError(f"--probes {file} is no file; give one of tenants/<tenant>/behaviours/")
    parsed = repository.read(repository.relative(file), Behaviour)
    if parsed.value is None or parsed.findings:
        first = parsed.findings[0]
        raise UsageError(f"--probes {first.place}: {first.message}")
    return parsed.value


def _print(content: ServingContent, url: str, found: list[str], form: str) -> None:
    served = content.served
    if form == "json":
        head = {"model": content.registered_name, "environment": content.environment, "url": url}
        print(
            json.dumps({**head, "served": served.model_dump(mode="json"), "faults": found, "ok": not found}, indent=2)
        )
        return
    for fault in found:
        print(f"{content.registered_name}: {fault}")
    if not found:
        print(
            f"{content.registered_name}: {url} serves version {served.model_version}, run {served.run_id}, as promoted"
        )
