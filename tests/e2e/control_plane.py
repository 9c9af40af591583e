"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback, with Kubernetes' own defaults.

Admission plugins and feature gates are the defaults, authorization is RBAC, and every controller acts as its own service
account, as in a cluster that kubeadm made: the admission policies under test look at those names. Controllers hold leases, too.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster, kubeconfig
from tests.e2e.processes import Program, Programs, free_ports, listening, wait_for

_USERS = ("system:kube-controller-manager", "system:kube-scheduler")


@dataclass
class ControlPlane:
    """The programs, and the administrator's way in."""

    etcd: Program
    api_server: Program
    controller_manager: Program
    scheduler: Program
    cluster: Cluster

    @property
    def programs(self) -> list[Program]:
        """All of them, in the order in which they start."""
        return [self.etcd, self.api_server, self.controller_manager, self.scheduler]

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The API server is away for the length of the block, and serves again after it.

        The controllers end when they cannot renew their leases, and come back as the kubelet would bring them back.
        """
        self.api_server.stop()
        yield
        self.api_server.start()
        wait_for(self.cluster.ready, "the API server", programs=[self.etcd, self.api_server])
        for program in (self.controller_manager, self.scheduler):
            wait_for(lambda program=program: not program.alive, f"{program.name} noticing its lost lease")
            program.start()


def start(built: Cache, folder: Path, programs: Programs) -> ControlPlane:
    """Start them and wait until the API answers and the controllers work.

    built: where the programs are.
    folder: state: keys, etcd's data, kubeconfigs; logs go beside the programs' own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    client, peer, port = free_ports(3)
    key = folder / "service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    tokens = {user: secrets.token_hex(16) for user in ("admin", *_USERS)}
    _write_tokens(folder / "tokens.csv", tokens)
    etcd = programs.start("etcd", _etcd(built, folder, client, peer))
    wait_for(lambda: listening(client), "etcd", 30, [etcd])
    api_server = programs.start("kube-apiserver", _api_server(built, folder, client, port, key))
    authority = folder / "pki" / "apiserver.crt"
    wait_for(authority.exists, "the API server's certificate", 30, [api_server])
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}
    files = {user: kubeconfig(folder / f"{user.replace(':', '-')}.yaml", server, tokens[user]) for user in tokens}
    cluster = Cluster.connect(files["admin"], built.program("kubectl"), programs)
    wait_for(cluster.ready, "the API server", programs=[etcd, api_server])
    shared = ["--leader-elect=true", "--secure-port=0"]
    manager = [
        *(built.program("kube-controller-manager"), "--kubeconfig", str(files[_USERS[0]]), *shared),
        *("--service-account-private-key-file", str(key), "--root-ca-file", str(authority)),
        "--use-service-account-credentials=true",
        # A quota that counts a kind which came later knows its use after this time; 5 minutes otherwise.
        "--resource-quota-sync-period=10s",
    ]
    scheduler = [built.program("kube-scheduler"), "--kubeconfig", str(files[_USERS[1]]), *shared]
    plane = ControlPlane(
        etcd,
        api_server,
        programs.start("kube-controller-manager", manager),
        programs.start("kube-scheduler", scheduler),
        cluster,
    )
    wait_for(lambda: cluster.get("ServiceAccount", "default", "default"), "the controllers", 60, plane.programs)
    return plane


def _etcd(built: Cache, folder: Path, client: int, peer: int) -> list[str]:
    urls = {"client": f"http://127.0.0.1:{client}", "peer": f"http://127.0.0.1:{peer}"}
    return [
        *(built.program("etcd"), "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"),
        *("--listen-client-urls", urls["client"], "--advertise-client-urls", urls["client"]),
        *("--listen-peer-urls", urls["peer"], "--initial-advertise-peer-urls", urls["peer"]),
        *("--initial-cluster", f"default={urls['peer']}"),
    ]


def _api_server(built: Cache, folder: Path, etcd: int, port: int, key: Path) -> list[str]:
    return [
        *(built.program("kube-apiserver"), "--etcd-servers", f"http://127.0.0.1:{etcd}"),
        *("--bind-address", "127.0.0.1", "--secure-port", str(port), "--cert-dir", str(folder / "pki")),
        *("--service-account-key-file", str(key), "--service-account-signing-key-file", str(key)),
        *("--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.96.0.0/16"),
        *("--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "Node,RBAC"),
        "--allow-privileged=true",
    ]


def _write_tokens(file: Path, tokens: dict[str, str]) -> None:
    """The static tokens: an administrator, and the users that RBAC's own bindings know the controllers by."""
    file.touch(mode=0o600)
    groups = {"admin": "system:masters"}
    lines = [",".join([token, user, user, groups.get(user, "")]).rstrip(",") for user, token in tokens.items()]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
