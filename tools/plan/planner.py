"""Plans experiments: resolves each and puts the formulas' answers together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tools.errors import UsageError
from tools.expand.sizing import cpu_memory
from tools.formats.dataset import Dataset
from tools.formats.experiment import Experiment
from tools.formats.gpus import GpuType
from tools.formats.lock import Lock
from tools.formats.people import usernames
from tools.plan import memory
from tools.plan.difference import nearest
from tools.plan.disk import disk
from tools.plan.estimate import Cut, Plan
from tools.plan.fit import changes, verdict
from tools.plan.hours import Duration, duration
from tools.plan.lengths import share_over
from tools.plan.memory import GIB
from tools.plan.quota import approvals, gpu_hours, shares
from tools.plan.scoring import scoring
from tools.plan.steps import Steps, packs, training_steps
from tools.plan.workload import Workload, workload
from tools.predict.pairs import Kind
from tools.predict.prediction import Prediction, predict
from tools.repository import Repository
from tools.resolve import resolve
from tools.tuning import speed
from tools.tuning.choose import Choice, choose


@dataclass
class Planner:
    """Plans experiments of one repository; what several plans share is read once."""

    repository: Repository
    _overlays: dict[tuple[str, str], list[Lock]] = field(default_factory=dict, repr=False)
    _written: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = field(default_factory=dict, repr=False)

    def plan(self, file: str) -> Plan:
        """The plan of an experiment without findings; of its lock where it has an overlay.

        Raises:
            UsageError: something that it names is missing.
        """
        lock = self._lock(file)
        run = lock.run
        datasets = self._datasets(lock)
        work = self._work(lock)
        steps = training_steps(datasets, run.settings, gpus=run.resources.gpus, nodes=run.resources.nodes)
        need = disk(work, steps, run.model, merge=run.publish is not None and run.publish.merge)
        device, limit, gpu = self._device(lock)
        tenant, gpus = self.repository.tenant(run.tenant), self.repository.gpus
        if tenant is None:
            raise UsageError(f"there is no valid tenants/{run.tenant}/tenant.yaml; run `ft validate tenants`")
        others = [other for other in self._locks(run.environment, run.tenant) if other.run.name != run.name]
        kept = sum(self._stored(other) for other in others)
        found = memory.parts(work)
        time = duration(work, steps, gpu)
        prediction = self._prediction(lock, memory.total(found), time)
        more = max(1.0, prediction.memory.factor) if prediction is not None else 1.0
        tight = verdict(memory.total(found) * more, limit) != "fits"
        return Plan(
            file=file,
            lock=lock,
            work=work,
            steps=steps,
            cuts=tuple(_cut(name, dataset, work) for name, dataset in zip(_names(lock), datasets, strict=True)),
            parts=tuple(found),
            device=device,
            limit=limit,
            changes=tuple(replace(change, bytes=change.bytes * more) for change in changes(work)) if tight else (),
            advice=self._advice(lock, limit, gpu),
            disk=need,
            duration=time,
            prediction=prediction,
            scoring=scoring(run, work, gpu),
            planned_gpu_hours=gpu_hours(run),
            price=gpu.price_per_hour if gpu else 0.0,
            currency=gpus.currency if gpus else "",
            shares=tuple(shares(run, tenant, others, (kept / GIB, need.peak / GIB), self._month(file, lock))),
            approvals=tuple(
                approvals(run, tenant, usernames(self.repository.platform.admins) if self.repository.platform else [])
            ),
            difference=nearest(_leaves_of(Experiment.model_validate(run.experiment)), self._earlier(file)),
            notes=(*_state(lock), *steps.notes, *_notes(work, run.settings), *_last_step(work, steps)),
        )

    def _lock(self, file: str) -> Lock:
        """The lock of its overlay, which is what runs, or the one that it would get."""
        tenant, name = file.split("/")[1], file.split("/")[2].removesuffix(".yaml")
        for found in self.repository.locks.of(tenant, name):
            lock = self.repository.optional(found.file, Lock)
            if lock is not None:
                return lock
        return resolve(self.repository, tenant, name, self.repository.experiment(file))

    def _datasets(self, lock: Lock) -> list[Dataset]:
        found = (self.repository.dataset(lock.run.tenant, dataset.name) for dataset in lock.run.datasets)
        return [dataset for dataset in found if dataset is not None]

    def _work(self, lock: Lock) -> Workload:
        model = self.repository.model(lock.run.model.name)
        if model is None:
            raise UsageError(f"there is no valid catalog/models/{lock.run.model.name}.yaml; run `ft validate catalog`")
        run, experiment = lock.run, Experiment.model_validate(lock.run.experiment)
        return workload(
            model.architecture,
            self._datasets(lock),
            run.settings,
            method=experiment.method,
            stage=experiment.stage,
            gpus=run.resources.gpus,
            nodes=run.resources.nodes,
            fused=run.performance is not None and run.performance.fused,
        )

    def _advice(self, lock: Lock, limit: float, gpu: GpuType | None) -> Choice | None:
        """What `performance: auto` would choose; None where it chose already or would change nothing."""
        model = self.repository.model(lock.run.model.name)
        if model is None or lock.run.performance is not None or lock.authorized is not None:
            return None
        device = speed.cpu(limit) if gpu is None else speed.gpu(gpu)
        experiment = Experiment.model_validate(lock.run.experiment)
        found = choose(experiment, model, self._datasets(lock), lock.run.settings, device)
        return found if found.changes else None

    def _prediction(self, lock: Lock, peak: float, time: Duration) -> Prediction | None:
        """What past runs say; nothing without GPUs, where the formulas promise no time either."""
        run = lock.run
        environment = self.repository.environment(run.environment)
        if run.resources.gpus == 0 or environment is None:
            return None
        kind = Kind(environment.gpu.type, str(run.experiment["method"]), run.model.name)
        return predict(self.repository.pairs, kind, peak, time)

    def _device(self, lock: Lock) -> tuple[str, float, GpuType | None]:
        if lock.run.resources.gpus == 0:
            return "CPU container", cpu_memory(), None
        environment, gpus = self.repository.environment(lock.run.environment), self.repository.gpus
        name = environment.gpu.type if environment else ""
        if gpus is None or name not in gpus.gpus:
            raise UsageError(
                f"catalog/gpus.yaml has no GPU type {name!r}, which environments/{lock.run.environment}.yaml names; add it there"
            )
        return name, gpus.gpus[name].memory_gib * GIB, gpus.gpus[name]

    def _locks(self, environment: str, tenant: str) -> list[Lock]:
        key = (environment, tenant)
        if key not in self._overlays:
            root = self.repository.root
            paths = sorted(root.glob(f"overlays/{environment}/{tenant}/*/run.yaml"))
            found = (self.repository.optional(path.relative_to(root).as_posix(), Lock) for path in paths)
            self._overlays[key] = [lock for lock in found if lock is not None]
        return self._overlays[key]

    def _month(self, file: str, lock: Lock) -> tuple[str, float]:
        """This month and its GPU-hours without those of the attempt that the experiment asks for."""
        experiment = self.repository.experiment(file).value
        attempt = experiment.attempt if experiment is not None else lock.attempt
        locks = self.repository.locks
        spent = locks.spent(lock.run.environment, lock.run.tenant)
        before = sum(entry.hours for entry in spent if (entry.run_id, entry.attempt) != (lock.run_id, attempt))
        return locks.month, before

    def _stored(self, lock: Lock) -> int:
        """Bytes that an earlier run may hold; nothing where the catalogue no longer has its model or data."""
        if self.repository.model(lock.run.model.name) is None or len(self._datasets(lock)) < len(lock.run.datasets):
            return 0
        run, work = lock.run, self._work(lock)
        steps = training_steps(self._datasets(lock), run.settings, gpus=run.resources.gpus, nodes=run.resources.nodes)
        return disk(work, steps, run.model, merge=run.publish is not None and run.publish.merge).peak

    def _earlier(self, file: str) -> list[tuple[str, Mapping[str, Any]]]:
        """The tenant's experiments before this one: those that sort before it or already have an overlay."""
        tenant = file.split("/")[1]
        if tenant not in self._written:
            self._written[tenant] = [*self._read_all(tenant)]
        taken = self.repository.locks.taken(tenant)
        return [
            (name, data)
            for other, name, data in self._written[tenant]
            if other != file and (other < file or name in taken)
        ]

    def _read_all(self, tenant: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        for file in self.repository.experiments():
            if file.startswith(f"experiments/{tenant}/"):
                parsed = self.repository.experiment(file)
                if parsed.value is not None and not parsed.findings:
                    name = file.rsplit("/", 1)[1].removesuffix(".yaml")
                    yield file, name, _leaves_of(parsed.value)


def _leaves_of(experiment: Experiment) -> Mapping[str, Any]:
    """An experiment with its defaults written out: writing a default down is no difference."""
    return experiment.model_dump(mode="json", exclude_none=True)


def _state(lock: Lock) -> list[str]:
    return ["state is cancelled: it will not run"] if lock.state == "cancelled" else []


def _names(lock: Lock) -> list[str]:
    return [dataset.name for dataset in lock.run.datasets]


def _cut(name: str, dataset: Dataset, work: Workload) -> Cut:
    if dataset.tokens is None:
        return Cut(name, dataset.rows, None)
    return Cut(name, dataset.rows, round(share_over(dataset.tokens, int(work.value("cutoff_len"))) * dataset.rows))


def _notes(work: Workload, settings: Mapping[str, Any]) -> list[str]:
    found = []
    if not work.measured:
        found.append(
            "token lengths were not measured: every row is taken to be cutoff_len long; `ft dataset add` measures them"
        )
    if packs(settings) and work.stage != "pt" and not work.value("neat_packing"):
        found.append("packing without neat_packing: examples in one sequence see each other")
    if work.architecture.num_experts > 1:
        found.append("mixture of experts: hours are those of all experts, so an upper bound")
    if work.shards > 1:
        found.append(
            f"FSDP shares weights, gradients and optimiser states out over {work.shards} GPUs (the platform's choice)"
        )
    elif work.method == "full" and work.processes > 1:
        found.append("no sharding: every process holds all weights, gradients and optimiser states")
    return found


def _last_step(work: Workload, steps: Steps) -> list[str]:
    """Every process trains on as many batches: rows are repeated for it (accelerate/data_loader.py, `even_batches`)."""
    together = int(work.value("per_device_train_batch_size")) * work.processes
    missing = -steps.examples % together
    if work.processes == 1 or not missing or work.value("dataloader_drop_last"):
        return []
    return [
        f"{steps.examples:,} examples are no multiple of {together:,}: an epoch's last batches repeat {missing:,} of them"
    ]
