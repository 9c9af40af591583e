"""The network policies can name the MLflow server.

Tenants' pods reach DNS and MLflow and nothing else. A network policy knows namespaces and addresses but no host names: a
server inside the cluster is named as `<service>.<namespace>.svc`, one outside needs its addresses in `cidrs`.

Fails:

    mlflow:
      tracking_uri: https://mlflow.bank.example

Passes:

    mlflow:
      tracking_uri: https://mlflow.bank.example
      cidrs: [192.0.2.10/32]
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from tools.expand.tenant_network import is_reachable
from tools.findings import Finding
from tools.formats.environment import Environment
from tools.rules.entry import Entry

ID = "environment-mlflow"
KIND = "environment"
NEEDS = ("mlflow",)


def check(entry: Entry[Environment]) -> Iterator[Finding]:
    """Look for a way to name the server, and at each address."""
    mlflow, document = entry.value.mlflow, entry.parsed.document
    if not is_reachable(mlflow):
        found = f"{mlflow.tracking_uri} is outside the cluster, and nothing gives its addresses"
        allowed = "http://<service>.<namespace>.svc:<port>, an address, or a host name with cidrs"
        yield document.finding(("mlflow", "tracking_uri"), ID, found, allowed, "add cidrs: [<address>/32]")
    for index, block in enumerate(mlflow.cidrs):
        try:
            ip_network(block)
        except ValueError as error:
            allowed = "a network such as 192.0.2.10/32 or 192.0.2.0/24"
            yield document.finding(("mlflow", "cidrs", index), ID, str(error), allowed, "correct it")
