"""What Argo CD's programs use, from /proc and from the controller's own metrics."""

from __future__ import annotations

import os
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.argocd import ArgoCD
from tests.e2e.processes import Program

_TICKS = os.sysconf("SC_CLK_TCK")
_RECONCILE = re.compile(r"^argocd_app_reconcile_(sum|count)\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Usage:
    """Sums since the programs started, or since another moment.

    cpu: seconds of controller, repo-server with its git and gpg, and ApplicationSet controller.
    memory, memories: MiB resident now, of the controller and of each.
    reconciled, reconciling: the controller's reconciliations, and seconds that they took together.
    """

    cpu: float
    memory: float
    memories: str
    reconciled: float
    reconciling: float

    @property
    def each(self) -> float:
        """Seconds that one reconciliation took."""
        return self.reconciling / self.reconciled if self.reconciled else 0.0

    def since(self, before: Usage) -> Usage:
        """The sums since an earlier moment, and the memory of this one."""
        reconciled, reconciling = self.reconciled - before.reconciled, self.reconciling - before.reconciling
        return Usage(self.cpu - before.cpu, self.memory, self.memories, reconciled, reconciling)


def usage(argocd: ArgoCD) -> Usage:
    """The sums until now."""
    programs = {"controller": argocd.controller, "repo-server": argocd.repo_server, "ApplicationSets": argocd.sets}
    resident = {name: _resident(program) for name, program in programs.items()}
    with urllib.request.urlopen(f"http://127.0.0.1:{argocd.ports.controller_metrics}/metrics", timeout=10) as response:
        found = _RECONCILE.findall(response.read().decode())
    sums = {kind: sum(float(value) for name, value in found if name == kind) for kind in ("count", "sum")}
    memories = ", ".join(f"{name} {amount:.0f} MiB" for name, amount in resident.items())
    cpu = sum(_cpu(program) for program in programs.values())
    return Usage(cpu, resident["controller"], memories, sums["count"], sums["sum"])


def _cpu(program: Program) -> float:
    """User and system seconds of a program and the children that it waited for, proc(5)."""
    fields = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def _resident(program: Program) -> float:
    status = Path(f"/proc/{program.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
