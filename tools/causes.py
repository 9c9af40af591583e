"""Why a run fails: every cause, with a stable code, the runner's exit code, who names it and what to do.

The runner raises and writes these codes (runner/exits.py, runner/failures.py), `ft status` and the bot's comment show them, and
docs/failures.md is generated from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UNKNOWN = "unexpected"


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause.

    exit_code: the runner's, None where the process had no time to end by itself. teller: who recognises it, the runner from its
    exception or `ft status` from the pod. what: one line. sign: how it is recognised. remedy: what to do.
    """

    code: str
    exit_code: int | None
    teller: Literal["runner", "pod"]
    what: str
    sign: str
    remedy: str


_AGAIN = "raise `attempt` in the experiment: it goes on from its last checkpoint"
_BY_ITSELF = "nothing: a new pod resumes from the last checkpoint by itself"

_ALL = (
    Cause(
        "bad-spec", 2, "runner", "the run's description was refused",
        "the lock is faulty, was changed after it was sealed, is cancelled or asks for what the runner cannot do; or LLaMA Factory "
        "refuses its arguments",
        "`ft expand --check` shows a changed overlay; otherwise write a corrected experiment under a new name",
    ),
    Cause(
        "data-mismatch", 3, "runner", "data or model is not what its hash says",
        "a dataset's or base model's file is missing, changed or new; or a folder holds another run's results",
        f"put back the file that the message names, then {_AGAIN}",
    ),
    Cause(
        "bad-row", 3, "runner", "a dataset has a row that cannot be read",
        "loading the data failed, and `ft dataset check` of its file finds faults: the message names file and line",
        "correct the row, add the file as a new dataset (`ft dataset add`) and name that one in a new experiment",
    ),
    Cause(
        "out-of-gpu-memory", 4, "runner", "out of GPU memory",
        "CUDA refused an allocation; the message has the measured peak beside the estimate",
        "write an experiment with a smaller per_device_train_batch_size, cutoff_len or lora_rank, or method: qlora (`ft plan` estimates)",
    ),
    Cause(
        "out-of-memory", 4, "runner", "out of memory",
        "the process could not get memory from the system; the message has the measured peak",
        "write an experiment with a smaller batch or fewer preprocessing_num_workers and dataloader_num_workers (`ft plan` estimates)",
    ),
    Cause(
        "time-limit", 5, "runner", "the time limit is used up",
        "the seconds of all restarts of this attempt have reached resources.time_limit",
        f"{_AGAIN}, with the same limit again",
    ),
    Cause(
        "nan-loss", 6, "runner", "the loss or the weights are no longer numbers",
        "a logged loss is NaN or infinite, or a trained weight is, which is looked for before each checkpoint",
        "write an experiment with a lower learning_rate, bf16 instead of fp16 and max_grad_norm: 1.0; the checkpoints hold no NaN",
    ),
    Cause(
        "exploding-loss", 6, "runner", "the loss exploded",
        "five logged losses in a row are far above what training began with (the limit is in the message; ADR 038)",
        "write an experiment with a lower learning_rate, a longer warm-up (warmup_ratio) or max_grad_norm: 1.0",
    ),
    Cause(
        "disk-full", 75, "runner", "the storage is full",
        "a write failed with `no space left` or `disk quota exceeded`, or no room is left after a failed write",
        f"free space on the tenant's storage (old checkpoints, merged models); when the Job has given up, {_AGAIN}",
    ),
    Cause(
        "storage-failed", 75, "runner", "the storage failed",
        "a read or write failed with an input/output error, a stale file handle, a time-out or a read-only file system",
        f"a platform admin mends the storage; when the Job has given up, {_AGAIN}",
    ),
    Cause(
        "permission-denied", 1, "runner", "a file or folder may not be read or written",
        "the system answered `permission denied`; the message names the path",
        "a platform admin gives the tenant's uid and gid (tenant.yaml) that folder; it starts by itself or after another `attempt`",
    ),
    Cause(
        "mlflow-login", 75, "runner", "MLflow refuses the login",
        "publishing got 401 or 403; training itself never waits for MLflow",
        "put the tenant's username and password into the Secret mlflow-credentials; publishing then goes on by itself",
    ),
    Cause(
        "mlflow-away", 75, "runner", "MLflow does not answer",
        "publishing could not reach it; training itself never waits for MLflow",
        "nothing while the Job retries; afterwards the bot publishes it again when MLflow answers",
    ),
    Cause(
        "no-gpu", 75, "runner", "the pod's GPU is missing, taken or broken",
        "fewer GPUs are visible than asked for, another process fills them, or CUDA or NCCL reports a fault of the device",
        "a platform admin looks at the node's driver and GPUs (`nvidia-smi`, Xid errors in the kernel's log)",
    ),
    Cause(
        "stalled", 75, "runner", "no step ended for too long",
        "the watchdog ended the process: a hung collective, mount or data loader",
        "a new pod resumes by itself; if it comes again, a platform admin looks at the network and the storage",
    ),
    Cause(
        "busy", 75, "runner", "another process works on this run",
        "the lease on the run's folder is held by a process that is alive",
        "wait for its end, or end it; two pods never train the same run",
    ),
    Cause("stopped", 75, "runner", "stopped by SIGTERM, its checkpoint saved", "a drain, a preemption or a deletion", _BY_ITSELF),
    Cause(
        "interrupted", 75, "runner", "interrupted, its checkpoint saved",
        "the infrastructure failed in another way; the message says how",
        f"read the message; when the cause is gone and the Job has given up, {_AGAIN}",
    ),
    Cause(
        "killed-by-memory-limit", 137, "pod", "killed: the container reached its memory limit",
        "the pod's container ended with reason OOMKilled",
        "write an experiment with fewer preprocessing_num_workers and dataloader_num_workers or a smaller batch; more GPUs bring more memory",
    ),
    Cause(
        "killed-by-quota", None, "pod", "killed: the pod used more local disk than it may",
        "the pod's status says Evicted: ephemeral storage or an emptyDir over its limit, or the node ran out of it",
        f"a smaller dataset cache (max_samples, streaming) fits; when the Job has given up, {_AGAIN}",
    ),
    Cause(
        "lost-node", None, "pod", "the pod's node was lost",
        "the node does not answer (event NodeNotReady, condition DisruptionTarget with DeletionByTaintManager or DeletionByPodGC)",
        "if the node is lost for good: `kubectl taint nodes NODE node.kubernetes.io/out-of-service=lost:NoExecute`; then a new pod resumes",
    ),
    Cause(
        "drained", None, "pod", "the pod was taken away: a drained node or a preemption",
        "condition DisruptionTarget with EvictionByEvictionAPI, PreemptionByScheduler or TerminationByKubelet",
        _BY_ITSELF,
    ),
    Cause(
        "killed", 137, "pod", "killed by the system (SIGKILL)",
        "exit code 137 without a reason: the grace period was over, or the node killed it for memory",
        f"see the pod's events; when the Job has given up, {_AGAIN}",
    ),
    Cause(
        "terminated", 143, "pod", "stopped (SIGTERM) before it could save",
        "exit code 143: the process had not begun to handle signals", _BY_ITSELF,
    ),
    Cause(
        UNKNOWN, 1, "runner", "the runner failed unexpectedly",
        "none of the above",
        f"read the traceback in the pod's log; mend the cause, then {_AGAIN}",
    ),
)  # fmt: skip

CAUSES: dict[str, Cause] = {cause.code: cause for cause in _ALL}
# The cause of an exit code that nothing more is known of.
BY_EXIT_CODE: dict[int, str] = {
    1: UNKNOWN, 2: "bad-spec", 3: "data-mismatch", 4: "out-of-memory", 5: "time-limit", 6: "nan-loss", 75: "interrupted",
    137: "killed", 143: "terminated",
}  # fmt: skip
