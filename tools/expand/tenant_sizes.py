"""What one tenant may hold at once, from its quota and from what the Jobs of base/training ask for."""

from __future__ import annotations

from dataclasses import dataclass

from tools.expand import sizing
from tools.formats.tenant_lock import TenantContent

# Jobs beside those that hold a GPU: publishing finished runs, or training without a GPU.
SIDE_JOBS = 4
# The most that a side Job may use, and what one without a GPU requests; unit tests compare both with `sizing.CPU_ONLY`.
SIDE_LIMIT_CPUS, SIDE_LIMIT_GIB = 4, 12
SIDE_REQUEST_CPUS, SIDE_REQUEST_GIB = 1, 4
# base/training/v1's ephemeral storage, with a GPU or without.
SCRATCH_GIB = 20
_NEXT = {"Gi": "Ti", "Ti": "Pi", "Pi": "Ei"}


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of each resource; memory and scratch space in GiB."""

    gpus: int
    cpus: int
    memory: int
    scratch: int

    def quantities(self) -> dict[str, str]:
        """Kubernetes' names and quantities, in the order of base/tenant/kueue."""
        return {
            "cpu": str(self.cpus),
            "memory": gib(self.memory),
            "ephemeral-storage": gib(self.scratch),
            sizing.GPU: str(self.gpus),
        }


def gib(amount: int) -> str:
    """GiB as the API server writes them back, so that Argo CD sees no difference: 1024Gi is 1Ti there, 0Gi is 0."""
    unit = "Gi"
    while amount and amount % 1024 == 0:
        amount, unit = amount // 1024, _NEXT[unit]
    return f"{amount}{unit}" if amount else "0"


def share(gpus: int) -> Amount:
    """What Jobs that hold so many GPUs request together."""
    return Amount(gpus, sizing.CPUS_PER_GPU * gpus, sizing.MEMORY_GIB_PER_GPU * gpus, SCRATCH_GIB * gpus)


def at_once(content: TenantContent) -> Amount:
    """What all pods of the tenant may use together."""
    all_gpus = share(content.tenant.quota.gpus + borrowed(content))
    return Amount(
        all_gpus.gpus,
        all_gpus.cpus + SIDE_JOBS * SIDE_LIMIT_CPUS,
        all_gpus.memory + SIDE_JOBS * _side_gib(content),
        all_gpus.scratch + SIDE_JOBS * SCRATCH_GIB,
    )


def one_container(content: TenantContent) -> Amount:
    """What one container may use: all GPUs that the tenant owns in one Job, or one side Job."""
    largest = share(content.tenant.quota.gpus)
    return Amount(
        largest.gpus, max(largest.cpus, SIDE_LIMIT_CPUS), max(largest.memory, _side_gib(content)), largest.scratch
    )


def queued(content: TenantContent) -> Amount:
    """What Kueue admits of the tenant's training Jobs without borrowing; publish Jobs do not queue."""
    own = share(content.tenant.quota.gpus)
    return Amount(
        own.gpus,
        own.cpus + SIDE_JOBS * SIDE_REQUEST_CPUS,
        own.memory + SIDE_JOBS * SIDE_REQUEST_GIB,
        own.scratch + SIDE_JOBS * SCRATCH_GIB,
    )


def borrowed(content: TenantContent) -> int:
    """GPUs that the tenant may borrow; none without Kueue, which takes them back."""
    return content.tenant.quota.borrow_gpus if content.cluster.kueue else 0


def _side_gib(content: TenantContent) -> int:
    """Memory of the largest side Job: publishing the largest model that the tenant may use."""
    return max(SIDE_LIMIT_GIB, *(sizing.publishing_gib(model.size) for model in content.models))
