"""What `ft storage` lets go: by age, and never what is served, named by the registry, recalled, running or not recognised."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.platform_copy import tree
from tests.unit.storage.conftest import Place
from tools.cli import main
from tools.expand.yamltext import dump
from tools.formats.recall import Lifted, Recall, RecalledModel
from tools.formats.serving import Serving
from tools.repository import Repository

HASH = "a" * 64


def serve(place: Place, run_id: str, name: str = "support") -> Path:
    """Let git say that a run's model is served."""
    file = place.platform / "serving" / "dev" / "team-a" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dump(Serving(version=1, run_id=run_id, model_version=3, publication=HASH).model_dump(mode="json")))
    return file


def old_models(place: Place, count: int = 5) -> list[tuple[str, Path]]:
    """Models that ended 400, 401, ... days ago, the newest first."""
    runs = [place.run(f"old-{number}", ended_days_ago=400 + number) for number in range(count)]
    return [(run_id, place.model(run_id)) for run_id in runs]


@pytest.mark.parametrize(("days", "goes"), [(6, False), (8, True)])
def test_checkpoints_of_a_finished_run_go_after_a_week(
    place: Place, days: int, goes: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The environment's default for checkpoints is seven days after the end."""
    folder = place.holds(f"output/checkpoints/{place.run('done', ended_days_ago=days)}")
    removable, reason = place.reason(capsys, folder)
    assert removable is goes
    assert reason == f"of a finished run, for {days} days; kept for 7d"


@pytest.mark.parametrize("result", ["failed", "cancelled"])
@pytest.mark.parametrize(("days", "goes"), [(29, False), (31, True)])
def test_what_an_unfinished_run_left_goes_after_a_month(
    place: Place, result: str, days: int, goes: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its checkpoints are what the next attempt resumes from, so they stay longer than a finished run's."""
    folder = place.holds(f"output/checkpoints/{place.run('broken', ended_days_ago=days, result=result)}")
    assert place.reason(capsys, folder)[0] is goes


def test_the_tenant_says_otherwise_field_by_field(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """`retention:` of tenant.yaml replaces what it names and leaves the rest to the environment."""
    tenant = place.platform / "tenants" / "team-a" / "tenant.yaml"
    tenant.write_text(f"{tenant.read_text()}retention:\n  checkpoints: 20d\n")
    environment = place.platform / "environments" / "dev.yaml"
    environment.write_text(f"{environment.read_text()}retention:\n  checkpoints: 1d\n  unfinished: 2d\n")
    finished = place.holds(f"output/checkpoints/{place.run('done', ended_days_ago=8)}")
    failed = place.holds(f"output/checkpoints/{place.run('broken', ended_days_ago=8, result='failed')}")
    assert place.reason(capsys, finished)[0] is False
    assert place.reason(capsys, failed)[0] is True


def test_a_run_that_is_not_over_keeps_everything(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The authorized run without an outcome: neither its checkpoints nor an old result of it may go."""
    run_id = Repository(place.platform).lock("overlays/dev/team-a/plain/run.yaml").run_id
    for folder in ("output/checkpoints", "output/lora-adapter", "models/merged-model/support"):
        removable, reason = place.reason(capsys, place.holds(f"{folder}/{run_id}"))
        assert (removable, "no record that the run is over" in reason) == (False, True)


def test_what_was_just_written_stays(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Git may be behind: files of the last hour are in use."""
    folder = place.holds(f"output/checkpoints/{place.run('done', ended_days_ago=99)}")
    (folder / "progress.json").write_text("{}")
    assert place.reason(capsys, folder) == (False, "written within the last hour")


def test_what_is_not_registered_keeps_its_checkpoints(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Publishing sends what MLflow has not got yet from beside the checkpoints."""
    run_id = place.run("done", ended_days_ago=99, version=None)
    record = place.platform / "audit" / "dev" / "team-a" / f"{run_id}.yaml"
    record.write_text(record.read_text().split("retired_at:")[0] + "retired_at: null\n")
    folder = place.holds(f"output/checkpoints/{run_id}")
    assert place.reason(capsys, folder) == (False, "not registered yet: publishing may still need it")


def test_the_newest_models_of_a_name_stay_and_the_others_go(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Three stay at any age, whatever the names sort like; each name counts by itself."""
    models = old_models(place)
    other = place.model(place.run("zz", ended_days_ago=900), "classifier")
    assert [place.reason(capsys, folder)[0] for _, folder in models] == [False, False, False, True, True]
    assert place.reason(capsys, other) == (False, "one of the 3 newest of classifier")


def test_a_served_model_stays(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The version that serving/ names is never removed."""
    models = old_models(place)
    serve(place, models[4][0])
    place.commit()
    assert place.reason(capsys, models[4][1]) == (False, "served")
    assert place.reason(capsys, models[3][1])[0] is True


def test_a_model_that_was_served_lately_stays_for_a_rollback(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The age of a model counts from the day on which git last served it."""
    models = old_models(place)
    serve(place, models[4][0])
    place.commit()
    serve(place, models[0][0])
    place.commit()
    removable, reason = place.reason(capsys, models[4][1])
    assert (removable, reason) == (False, "neither served nor wanted by the registry, for 0 days; kept for 180d")


@pytest.mark.parametrize("alias", ["champion", "candidate", "shadow"])
def test_a_model_that_an_alias_points_to_stays(place: Place, alias: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the registry calls it: somebody relies on it."""
    models = old_models(place)
    place.alias(alias, models[4][0])
    assert place.reason(capsys, models[4][1]) == (False, f"the registry's {alias}")


def test_without_the_registry_no_model_goes(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Champion unknown: every merged model stays, checkpoints go all the same."""
    models = old_models(place)
    checkpoints = place.holds(f"output/checkpoints/{models[4][0]}")
    place.mlflow.status = 503
    removable, reason = place.reason(capsys, models[4][1])
    assert (removable, "champion is not known" in reason) == (False, True)
    assert place.reason(capsys, checkpoints)[0] is True
    assert "MLFLOW_TRACKING_USERNAME" in place.report(capsys)["unknown"][0]


def test_an_alias_without_a_run_is_not_known_either(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A version that was registered by hand could be any folder."""
    models = old_models(place)
    place.alias("champion", None)
    assert place.reason(capsys, models[4][1])[0] is False


@pytest.mark.parametrize("fault", ["shallow", "no git", "broken serving file"])
def test_with_an_unknown_history_no_model_goes(
    place: Place, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was served is not known from half a clone, none, or a file that nobody can read."""
    models = old_models(place)
    if fault == "broken serving file":
        serve(place, models[0][0]).write_text("version: 2\n")
    place.commit()
    if fault == "no git":
        shutil.rmtree(place.platform / ".git")
    if fault == "shallow":
        place.commit()
        clone = tmp_path / "clone"
        subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{place.platform}", clone], check=True)
        place.platform = clone
    removable, reason = place.reason(capsys, models[4][1])
    assert (removable, "is not known" in reason) == (False, True)


def test_an_adapter_stays_while_its_model_does(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the proof behind the model, and what can be merged again; after the model it goes at its own age."""
    models = old_models(place)
    kept = place.holds(f"output/lora-adapter/{models[0][0]}")
    gone = place.holds(f"output/lora-adapter/{models[4][0]}")
    young = place.holds(f"evaluation/{place.run('adapter-only', ended_days_ago=300)}")
    assert place.reason(capsys, kept) == (False, "its merged model is kept")
    assert place.reason(capsys, gone)[0] is True
    assert place.reason(capsys, young)[0] is False


@pytest.mark.parametrize(("state", "goes"), [(None, False), ("cleared", True), ("withdrawn", True)])
def test_a_recalled_run_stays_until_it_is_reviewed(
    place: Place, state: str | None, goes: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of a run that was trained on recalled data goes while nobody has looked; lifted recalls hold nothing."""
    run_id = place.run("done", ended_days_ago=99)
    folder = place.holds(f"output/checkpoints/{run_id}")
    [sha256] = Repository(place.platform).lock("overlays/dev/team-a/plain/run.yaml").run.datasets[:1]
    models = [RecalledModel(environment="dev", run_id=run_id, model=None, state=state)] if state else []  # type: ignore[arg-type]
    recall = Recall(
        version=1, reason="A consent was withdrawn", opened_by="ewa.lis", opened_at="2026-11-01T08:00:00Z",
        sha256=[sha256.sha256], models=models,
    )  # fmt: skip
    file = place.platform / "recalls" / "team-a" / "topics.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(dump(recall.model_dump(mode="json")))
    removable, reason = place.reason(capsys, folder)
    assert removable is goes
    assert goes or reason == "recalled by recalls/team-a/topics.yaml and not reviewed"
    lifted = recall.model_copy(update={"lifted": Lifted(by="ewa.lis", at="2026-11-02T08:00:00Z", reason="A mistake")})
    file.write_text(dump(lifted.model_dump(mode="json")))
    assert place.reason(capsys, folder)[0] is True
    file.write_text("nothing")
    assert place.reason(capsys, folder)[0] is False


def test_runs_of_other_tenants_and_of_nobody_stay(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder named like a run that git does not know, or knows of another tenant or environment, is left to a person."""
    run_id = place.run("done", ended_days_ago=999)
    folder = place.holds(f"output/checkpoints/{run_id}")
    stranger = place.holds("output/checkpoints/somebody-0badc0de")
    record = place.platform / "audit" / "dev" / "team-a" / f"{run_id}.yaml"
    record.write_text(record.read_text().replace("tenant: team-a", "tenant: team-b"))
    for each in (folder, stranger):
        assert place.reason(capsys, each) == (
            False, "git has no such run of this tenant and environment: look at it by hand",
        )  # fmt: skip


def test_data_and_unrecognised_things_stay(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither training data nor anything that the platform did not make."""
    for path in ("data/training-datasets", "output/checkpoints/.trash", "models/merged-model/Old Models", "home"):
        assert place.reason(capsys, place.holds(path))[0] is False


def test_a_tenants_retention_is_no_part_of_its_overlay(place: Place) -> None:
    """A change of it is no deployment: the generated files are the same with and without."""
    overlay = place.platform / "overlays" / "dev" / "_tenants" / "team-a"
    assert main(["expand", "--tenants", "--repo", str(place.platform)]) == 0
    before = tree(overlay)
    tenant = place.platform / "tenants" / "team-a" / "tenant.yaml"
    tenant.write_text(f"{tenant.read_text()}retention:\n  checkpoints: 20d\n  keep_models: 1\n")
    assert main(["validate", str(tenant), "--repo", str(place.platform)]) == 0
    assert main(["expand", "--tenants", "--repo", str(place.platform)]) == 0
    assert tree(overlay) == before
