"""Say where a run stands and why it waits: git, Argo CD, Kueue, Job, pods, events and MLflow in one answer.

Name a run id, an experiment (`team-a/exp-001` or its file), an overlay folder or a tenant; nothing means every run of --env.
Reads only. The cluster is the kubeconfig's: --kubeconfig, KUBECONFIG or ~/.kube/config; MLflow is the one that the run logs
to, or --tracking-uri, or MLFLOW_TRACKING_URI. Exit code 1: a run failed. 3: the cluster cannot be read (git and MLflow are
shown all the same).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tools.repository import Repository

if TYPE_CHECKING:
    from tools.cluster.client import Cluster
    from tools.cluster.faults import ClusterFault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft status`."""
    add_target(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how it is printed (text)")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def add_target(parser: argparse.ArgumentParser) -> None:
    """Declare what `ft status` and `ft watch` share."""
    parser.add_argument(
        "target", nargs="?", metavar="TARGET", help="a run id, an experiment, an overlay folder or a tenant"
    )
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow (default: the one that the run logs to)")
    add_cluster(parser)


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Declare which cluster and which repository are meant."""
    parser.add_argument("--env", metavar="E", help="the environment (default: the run's or tenant's own)")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="default: KUBECONFIG, else ~/.kube/config")
    parser.add_argument("--context", metavar="NAME", help="the kubeconfig's context (default: its current one)")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Print the status; 1 when a run failed, 3 without a cluster."""
    from tools.cluster import report, targets, text
    from tools.cluster.look import look

    runs = targets.resolve(Repository.find(args.repo), args.target, args.env)
    found = look(runs, connect(args), args.tracking_uri)
    if args.format == "json":
        print(json.dumps(report.data(found), indent=2, ensure_ascii=False))
    else:
        print("\n".join(text.lines(found)))
    return found.exit_code


def connect(args: argparse.Namespace) -> Cluster | ClusterFault:
    """The cluster that the options name, or why there is none."""
    from tools.cluster.client import Cluster
    from tools.cluster.faults import ClusterFault

    try:
        return Cluster.connect(args.kubeconfig, args.context)
    except ClusterFault as fault:
        return fault
