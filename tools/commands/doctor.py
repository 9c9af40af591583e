"""Check a live cluster for every setting that the platform needs, and name what is missing with its remedy.

`ft doctor cluster --env dev` renders overlays/dev/_platform and _tenants and compares each object with the live one: Argo CD's
settings, projects and ApplicationSets, admission policies, priorities, namespaces, quotas, network rules, claims. Besides it
looks at versions, signing keys, credentials, GPU nodes, queues and MLflow. Reads only. Exit code 1: something is wrong.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from tools.commands import status
from tools.errors import UsageError
from tools.repository import Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft doctor`."""
    parser.add_argument("what", choices=("cluster",), help="what to examine")
    status.add_cluster(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how it is printed (text)")


def run(args: argparse.Namespace) -> int:
    """Print what is wrong; 1 when anything is."""
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
