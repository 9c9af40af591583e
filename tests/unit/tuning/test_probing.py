"""The range that the runner's probe may move in, and how the runner moves in it; the trials themselves are in tests/integration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from runner import tracking
from runner.exits import OutOfMemory, Retry, TimeLimit
from runner.probe import choice, decide
from runner.probe.choice import Choice, Trial
from runner.probe.ways import ACCUMULATION, BATCH, RECOMPUTATION, Way, allowed, locked, smaller, tried
from runner.spool import Spool
from runner.storage import Paths
from tests.runs import make_paths
from tools.cli import main
from tools.formats.experiment import Experiment
from tools.formats.lock import Lock, LockedPerformance, LockedProbe, LockedRun
from tools.repository import Repository
from tools.resolve import resolve
from tools.tuning.probing import LEAST_SECONDS, probe_of

FIXTURES = Path(__file__).parents[2] / "fixtures" / "plan-repository"
FILE = "experiments/team-a/exp-001.yaml"
DAY = 86_400.0


def experiment(train: dict[str, Any] | None = None, **resources: int) -> Experiment:
    """An experiment under auto."""
    fields: dict[str, Any] = {"version": 1, "description": "x", "owner": "anna.nowak", "model": "m", "datasets": ["d"]}
    given = {"gpus": 1, "nodes": 1, "time_limit": "8h", **resources}
    return Experiment.model_validate({**fields, "method": "lora", "performance": "auto", "train": train or {}, "resources": given})  # fmt: skip


def paths(root: Path, batches: list[int], kept: list[bool], **settings: Any) -> Paths:
    """A run with such a range."""
    probe = LockedProbe(seconds=300, per_device_train_batch_size=batches, disable_gradient_checkpointing=kept)
    performance = LockedPerformance(as_written={}, expected_gain=1.0, reasons=[], probe=probe)
    made = make_paths(root, performance=performance, settings=settings)
    made.checkpoints.mkdir(parents=True)
    return made


def test_a_long_run_may_try_its_neighbours() -> None:
    """At most 1 % of the planned time; all smaller micro-batches to step down to, one larger; with and without recomputation."""
    found = probe_of(experiment(), {BATCH: 4, ACCUMULATION: 4}, DAY)
    assert found == LockedProbe(
        seconds=864, per_device_train_batch_size=[1, 2, 4, 8], disable_gradient_checkpointing=[False, True]
    )


@pytest.mark.parametrize(
    ("wanted", "settings", "planned"),
    [
        (experiment(), {BATCH: 4, ACCUMULATION: 4}, 100.0 * LEAST_SECONDS - 1),
        (experiment(gpus=2), {BATCH: 4, ACCUMULATION: 4}, DAY),
        (experiment(nodes=2), {BATCH: 4, ACCUMULATION: 4}, DAY),
        (experiment({RECOMPUTATION: True}), {BATCH: 1, ACCUMULATION: 1, RECOMPUTATION: True}, DAY),
    ],
    ids=["short", "two GPUs", "two nodes", "one way"],
)
def test_no_probe_where_it_is_not_worth_it(wanted: Experiment, settings: dict[str, Any], planned: float) -> None:
    """A short run, processes that would have to agree, and a run with a single way have none."""
    assert probe_of(wanted, settings, planned) is None


def test_what_the_author_fixed_is_not_tried() -> None:
    """Recomputation stays as written; the micro-batch where rows that fill none are dropped, and for kto."""
    found = probe_of(experiment({RECOMPUTATION: False}), {BATCH: 2, ACCUMULATION: 2}, DAY)
    assert found is not None
    assert found.disable_gradient_checkpointing == [False]
    dropping = {BATCH: 2, ACCUMULATION: 2, "dataloader_drop_last": True}
    found = probe_of(experiment({"dataloader_drop_last": True}), dropping, DAY)
    assert found is not None
    assert found.per_device_train_batch_size == [2]
    found = probe_of(experiment(), {**dropping, "dataloader_drop_last": False, "stage": "kto"}, DAY)
    assert found is not None
    assert found.per_device_train_batch_size == [2]


def test_every_way_keeps_the_rows_of_a_step(tmp_path: Path) -> None:
    """The lock's own way comes first, then its neighbours; a micro-batch that does not divide the rows is none."""
    lock = paths(
        tmp_path, [1, 2, 3, 4, 8], [False, True], per_device_train_batch_size=4, gradient_accumulation_steps=2
    ).lock
    assert locked(lock) == Way(4, kept=False)
    assert [way.batch for way in tried(lock)] == [4, 4, 8, 8, 2, 2]
    assert next(tried(lock)) == locked(lock)
    assert {way.settings(lock)[BATCH] * way.settings(lock)[ACCUMULATION] for way in allowed(lock)} == {8}


def test_stepping_down_ends_at_the_least_way(tmp_path: Path) -> None:
    """First layers are computed twice, then the micro-batch falls; each step needs less memory; below the last there is none."""
    lock = paths(tmp_path, [1, 2, 4], [False, True], per_device_train_batch_size=4).lock
    way: Way | None = Way(4, kept=True)
    seen = []
    while way is not None:
        seen.append(way)
        way = smaller(lock, way)
    assert seen == [Way(4, kept=True), Way(4, kept=False), Way(2, kept=False), Way(1, kept=False)]


def test_out_of_memory_becomes_a_retry_as_long_as_a_smaller_way_is_left(tmp_path: Path) -> None:
    """75 with the smaller way written down, until the least has failed too: then it stays 4; other failures are let through."""
    made = paths(tmp_path, [2, 4], [False], per_device_train_batch_size=4)
    failure = OutOfMemory("too much", "less", measured_bytes=5)
    first = decide.step_down(made, failure)
    assert isinstance(first, Retry)
    assert first.details == {"measured_bytes": 5}
    found = choice.stored(made)
    assert found is not None
    assert found.way == Way(2, kept=False)
    assert decide.step_down(made, failure) is failure
    other = TimeLimit("over", "more")
    assert decide.step_down(made, other) is other
    plain = make_paths(tmp_path / "plain")
    assert decide.step_down(plain, failure) is failure


def trial(batch: int, seconds: float | None, outcome: choice.Outcome = "fits") -> Trial:
    """One that kept all activations."""
    return Trial(batch=batch, kept=True, outcome=outcome, seconds=seconds, bytes=1)


@pytest.mark.parametrize(
    ("trials", "wanted"),
    [
        ([trial(4, 1.0), trial(8, 0.5), trial(2, 2.0)], 8),
        ([trial(4, 1.0), trial(8, 0.99)], 4),
        ([trial(4, 1.0), trial(8, 0.1, "over the margin")], 4),
        ([trial(4, None, "out of memory"), trial(2, 3.0)], 2),
        ([trial(4, None, "out of memory"), trial(8, None, "died")], 2),
        ([], 4),
    ],
    ids=["quicker", "noise", "margin", "does not fit", "nothing fits", "no time"],
)
def test_the_quickest_that_fits_is_chosen(tmp_path: Path, trials: list[Trial], wanted: int) -> None:
    """Quicker by more than noise, within the margin; where nothing tried fits, the next below; untried, the lock's own."""
    made = paths(tmp_path, [1, 2, 4, 8], [True], per_device_train_batch_size=4, gradient_accumulation_steps=2,
                 disable_gradient_checkpointing=True)  # fmt: skip
    found = decide._chosen(made, {each.way: each for each in trials}, 1.0)
    assert found.batch == wanted
    assert {each.way for each in found.trials} >= set(tried(made.lock))


def test_a_way_that_took_its_process_twice_has_died(tmp_path: Path) -> None:
    """Once may be a lost node; a line that a kill cut is no trial."""
    made = paths(tmp_path, [2, 4], [True], per_device_train_batch_size=4)
    choice.note(made, {"trying": [4, True]})
    assert choice.noted(made) == {}
    choice.note(made, {"trying": [2, True]})
    choice.note(made, trial(2, 0.5).model_dump(mode="json"))
    choice.note(made, {"trying": [4, True]})
    with (made.checkpoints / choice.TRIALS).open("a") as stream:
        stream.write('{"trying": [2, tr')
    found = choice.noted(made)
    assert (found[Way(4, kept=True)].outcome, found[Way(2, kept=True)].outcome) == ("died", "fits")


def test_a_run_that_has_begun_or_chosen_is_not_probed(tmp_path: Path) -> None:
    """With a checkpoint and no choice the lock's settings stay; a choice that is damaged or of another run is not followed."""
    made = paths(tmp_path, [2, 4], [True], per_device_train_batch_size=4)
    (made.checkpoints / "checkpoint-2").mkdir()
    spool = Spool(made.checkpoints)
    decide.decide(made, tmp_path, spool)
    assert not (made.checkpoints / choice.NAME).exists()
    assert choice.settings(made) == {}
    Choice(run_sha256="0" * 64, batch=2, kept=True, why="x", taken=1, trials=[]).write(made.checkpoints / choice.NAME)
    assert choice.settings(made) == {}
    Choice(run_sha256=made.lock.sha256, batch=2, kept=True, why="x", taken=1, trials=[]).write(
        made.checkpoints / choice.NAME
    )
    assert choice.settings(made)[BATCH] == 2
    file = made.checkpoints / choice.NAME
    file.write_text(file.read_text().replace('"batch": 2', '"batch": 4'))
    assert choice.settings(made) == {}
    decide.decide(made, tmp_path, spool)
    spool.close()
    assert not (made.checkpoints / choice.TRIALS).exists()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the fixtures' repository whose exp-001 is a long run under auto."""
    root = Path(shutil.copytree(FIXTURES, tmp_path / "repository"))
    text = (root / FILE).read_text().replace("num_train_epochs: 3", "num_train_epochs: 300")
    (root / FILE).write_text(text + "performance: auto\n")
    return root


def _lock(root: Path) -> Lock:
    repository = Repository(root)
    return resolve(repository, "team-a", "exp-001", repository.experiment(FILE))


def test_lock_plan_and_mlflow_hold_the_range(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A long run's lock has it and survives being read again; a short one's has no word of it; plan and MLflow show it."""
    lock = _lock(repository)
    assert lock.run.performance is not None
    probe = lock.run.performance.probe
    assert probe is not None
    assert lock.run.settings[BATCH] in probe.per_device_train_batch_size
    assert LockedRun.model_validate(lock.run.model_dump(mode="json")) == lock.run
    parameters = tracking.params(lock)
    assert json.loads(parameters["performance.probe.per_device_train_batch_size"]) == probe.per_device_train_batch_size
    assert main(["plan", "--repo", str(repository), str(repository / FILE)]) == 0
    assert f"up to {probe.seconds} s at the start" in capsys.readouterr().out
    file = repository / FILE
    file.write_text(file.read_text().replace("num_train_epochs: 300", "num_train_epochs: 1"))
    short = _lock(repository)
    assert short.run.performance is not None
    assert "probe" not in short.run.performance.model_dump(mode="json")
    assert not [name for name in tracking.params(short) if "probe" in name]
