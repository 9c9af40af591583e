"""Runs the Jobs of a rendered overlay one after the other, as Argo CD and the Job controller would."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.formats.lock import Lock
from tools.localrun import container, sandbox
from tools.localrun.container import Machine
from tools.localrun.interrupts import Interrupts
from tools.localrun.jobs import Rendered
from tools.localrun.log import Log
from tools.localrun.process import Ended, Process
from tools.localrun.retries import exit_code, meaning, verdict
from tools.localrun.screen import Screen, event_of
from tools.render.documents import Manifest, pod

_TAIL = 20
_EVENTS = 200  # lines that the screen has shown already, to look behind
_DEFAULT_GRACE = 30
_DEADLINE = "its deadline passed"


@dataclass
class LocalRun:
    """One call of `ft run`.

    verbose: show the containers' own lines too. extra: arguments after each container's own.
    """

    lock: Lock
    machine: Machine
    rendered: Rendered
    screen: Screen
    verbose: bool = False
    extra: tuple[str, ...] = ()

    def run(self) -> int:
        """Run every Job; 0 when all succeeded, 1 when one failed (the later ones are not started), 128 + N after signal N."""
        with Interrupts() as interrupts:
            for job in self.rendered.jobs:
                succeeded = self._job(job, interrupts)
                if interrupts.received is not None:
                    name = signal.Signals(interrupts.received).name
                    self.screen.say(f"stopped by {name}; the same command goes on from the last checkpoint")
                    return 128 + interrupts.received
                if not succeeded:
                    return 1
        return 0

    def _job(self, job: Manifest, interrupts: Interrupts) -> bool:
        name = job["metadata"]["name"]
        self.screen.say(f"Job {name}")
        file = self.machine.storage / "logs" / self.lock.run_id / f"{name}.log"
        with Log(file, echo=self.verbose) as log:
            failures = 0
            while (decision := self._attempt(job, interrupts, log, failures)) == "again":
                failures += 1
        return decision == "done"

    def _attempt(self, job: Manifest, interrupts: Interrupts, log: Log, failures: int) -> str:
        """One pod: what the Job controller decides after it. A retry follows at once, without the controller's pause."""
        ended = self._pod(job, interrupts, log)
        self.screen.end()
        code = exit_code(ended.returncode)
        if interrupts.received is not None:
            return "stopped"
        decision = "failed" if ended.late else verdict(job, code, failures)
        reason = _DEADLINE if ended.late else f"exit code {code} ({meaning(code)})"
        if decision == "again":
            self.screen.say(f"  {reason}; retry {failures + 1} of {job['spec']['backoffLimit']}")
        elif decision == "failed":
            self._explain(job, reason, log)
        return decision

    def _pod(self, job: Manifest, interrupts: Interrupts, log: Log) -> Ended:
        spec = pod(job)
        temporary = Path(tempfile.mkdtemp(prefix="ft-run-"))
        try:
            volumes = sandbox.build(
                spec, claims=self._claims(), configmaps=self.rendered.configmaps, temporary=temporary
            )
            command = container.command(job, self.machine, volumes, self.rendered.configmaps, extra=self.extra)
            grace = spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE)
            process = Process(command, grace, job["spec"].get("activeDeadlineSeconds"))
            return process.run(interrupts, lambda line: self._line(line, log), log.write)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _claims(self) -> Mapping[str, Path]:
        storage, claims = self.machine.storage, self.lock.run.storage
        return {claims.claim: storage, claims.base_models_claim: storage / "models" / "base-model"}

    def _line(self, line: str, log: Log) -> None:
        event = event_of(line)
        log.write(line)
        if event is not None:
            self.screen.event(event)

    def _explain(self, job: Manifest, reason: str, log: Log) -> None:
        words = [line for line in log.tail(_TAIL + _EVENTS) if event_of(line) is None]
        tail = "\n".join(f"  | {line}" for line in words[-_TAIL:])
        if tail and not self.verbose:
            self.screen.say(tail)
        self.screen.say(f"Job {job['metadata']['name']} failed: {reason}; the whole log: less {log.file}")
