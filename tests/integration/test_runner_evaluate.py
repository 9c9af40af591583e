"""Evaluation with real models: tiny Llamas asked through transformers, a real MLflow store beside them."""

from __future__ import annotations

import json
import math
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner import registry, tracking
from runner.evaluate import report, step
from runner.evaluate.answering import Answering
from runner.evaluate.contenders import ALIAS
from runner.evaluate.rows import held_out
from runner.storage import Paths
from tests.evaluating import make_evaluated, publish, rows, teach
from tests.runs import write_model
from tools.formats import evaluation as formats
from tools.formats.behaviour import Behaviour
from tools.formats.experiment import Passes

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("torch") is None, reason="needs the runner's environment"),
]
BEHAVIOURS = Path(__file__).parents[1] / "fixtures" / "runner" / "behaviours"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`random`: the base model of every run; `taught`: the same after it has learned the held-out rows."""
    root = tmp_path_factory.mktemp("models")
    write_model(root / "random")
    return {"random": root / "random", "taught": teach(root / "random", root / "taught")}


@pytest.fixture
def mlflow(empty_store: Path, tmp_path: Path) -> Any:
    """A client of an own, empty store."""
    return tracking.client(f"sqlite:///{shutil.copyfile(empty_store, tmp_path / 'mlflow.db')}")


def behaviours(*names: str) -> dict[str, Behaviour]:
    """Files of behaviours by their names."""
    return {name: Behaviour.model_validate(yaml.safe_load((BEHAVIOURS / f"{name}.yaml").read_text())) for name in names}


def crown(mlflow: Any, paths: Paths) -> None:
    """Register a published run and make it the champion."""
    assert paths.lock.run.publish is not None
    run = tracking.Run(mlflow, "team-a", paths.lock.run_id, paths.lock.sha256)
    version = registry.register(mlflow, paths.lock, run.id)
    mlflow.set_registered_model_alias(paths.lock.run.publish.model_name, ALIAS, str(version))


def test_a_model_that_learned_passes_and_the_registry_says_so(
    models: dict[str, Path], mlflow: Any, tmp_path: Path
) -> None:
    """Better than base in every metric and well-behaved: passed, with the numbers in MLflow and the row of the training data left out."""
    paths = make_evaluated(tmp_path, behaviours=behaviours("sorts"))
    publish(paths, models["taught"])
    found = step.evaluate(paths, mlflow)
    assert found is not None
    assert (found.verdict, found.reasons) == ("passed", [])
    assert (found.rows, found.rows_in_training) == (12, 1)
    base, candidate = found.models
    assert candidate.scores["exact_match"].value == 1.0
    assert base.scores["exact_match"].value == 0.0
    assert candidate.scores["perplexity"].value < 1.5 < base.scores["perplexity"].value
    assert {each.verdict for each in found.comparisons} == {"better"}
    assert found.behaviours[0].failed_cases == 0
    assert formats.read(step.folder(paths) / formats.NAME) == found
    run = tracking.Run(mlflow, "team-a", paths.lock.run_id, paths.lock.sha256)
    for _ in range(2):  # the second time changes nothing
        report.log(mlflow, run.id, found)
        version = registry.register(mlflow, paths.lock, run.id, None, report.tags(found))
    logged = mlflow.get_run(run.id).data
    assert logged.metrics["evaluation/candidate/exact_match"] == 1.0
    assert len(mlflow.get_metric_history(run.id, "evaluation/candidate/exact_match")) == 1
    tags = mlflow.get_model_version("team-a.support", str(version)).tags
    assert tags[formats.TAG] == "passed"
    told = formats.from_tag(tags[formats.RESULT_TAG])
    assert told is not None
    assert told.models == found.models


def test_an_evaluation_that_is_there_is_not_made_again(
    models: dict[str, Path], mlflow: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second call asks no model: it gives what the first one wrote."""
    paths = make_evaluated(tmp_path, metrics=["exact_match"])
    publish(paths, models["taught"])
    first = step.evaluate(paths, mlflow)
    shutil.rmtree(paths.base_model)  # without it nothing could be scored
    assert step.evaluate(paths, mlflow) == first
    steps = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"event": "step"' in line]
    assert [each["skipped"] for each in steps] == [False, True]


def test_a_candidate_that_is_worse_than_the_champion_fails(
    models: dict[str, Path], mlflow: Any, tmp_path: Path
) -> None:
    """An untaught candidate against a taught champion: failed with both reasons, the champion named by its version."""
    reigning = make_evaluated(tmp_path, name="exp-000", metrics=["exact_match"])
    publish(reigning, models["taught"])
    crown(mlflow, reigning)
    paths = make_evaluated(tmp_path, metrics=["exact_match", "perplexity"], passes=Passes(by="perplexity"))
    publish(paths, models["random"])
    found = step.evaluate(paths, mlflow)
    assert found is not None
    assert found.verdict == "failed"
    assert [reason.split(":")[0] for reason in found.reasons] == [
        "perplexity is not better than the base model's",
        "perplexity is worse than the champion's",
    ]
    assert found.champion is not None
    assert (found.champion.registered_version, found.champion.run_id) == (1, reigning.lock.run_id)
    (exact,) = [each for each in found.comparisons if each.against == "champion" and each.metric == "exact_match"]
    assert (exact.verdict, exact.difference.value, exact.p_value) == ("worse", -1.0, 2 / 2**12)


def test_a_champion_that_was_changed_is_no_measure(models: dict[str, Path], mlflow: Any, tmp_path: Path) -> None:
    """A champion's folder that is not what its record says: failed, naming the file, and no comparison is invented."""
    reigning = make_evaluated(tmp_path, name="exp-000", metrics=["exact_match"])
    publish(reigning, models["taught"])
    crown(mlflow, reigning)
    (reigning.merged / "config.json").write_text("{}", encoding="utf-8")
    paths = make_evaluated(tmp_path, metrics=["exact_match"])
    publish(paths, models["taught"])
    found = step.evaluate(paths, mlflow)
    assert found is not None
    assert (found.verdict, found.models) == ("failed", [])
    assert "config.json" in found.reasons[0]


def test_an_interrupted_evaluation_goes_on_and_gives_the_same(
    models: dict[str, Path], mlflow: Any, tmp_path: Path
) -> None:
    """Cut off in the middle of a line, as a kill leaves it: what was whole is kept, and all answers are those of one go."""
    paths = make_evaluated(tmp_path)
    publish(paths, models["taught"])
    whole = step.evaluate(paths, mlflow)
    home = step.folder(paths)
    (file,) = home.glob("candidate-*.jsonl")
    before = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3  # the identity and two batches
    file.write_bytes(b"".join(lines[:2]) + lines[2][:40])
    (home / formats.NAME).unlink()
    again = step.evaluate(paths, mlflow)
    after = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [entry.get("rows") for entry in after] == [entry.get("rows") for entry in before]
    assert after[1] == before[1]  # not made again: even its time is the first one's
    assert whole is not None
    assert again is not None
    assert [model.scores for model in again.models] == [model.scores for model in whole.models]


def test_the_time_limit_ends_an_evaluation_with_a_verdict(models: dict[str, Path], mlflow: Any, tmp_path: Path) -> None:
    """Time of earlier goes counts: with the limit used up, the verdict is failed and says how far it came."""
    paths = make_evaluated(tmp_path, metrics=["exact_match"])
    publish(paths, models["taught"])
    step.evaluate(paths, mlflow)
    home = step.folder(paths)
    (file,) = home.glob("base-*.jsonl")
    first, batch, _ = file.read_text(encoding="utf-8").splitlines()
    slow = {**json.loads(batch), "seconds": 600.0}
    file.write_text(f"{first}\n{json.dumps(slow)}\n", encoding="utf-8")
    (home / formats.NAME).unlink()
    found = step.evaluate(paths, mlflow)
    assert found is not None
    assert found.verdict == "failed"
    assert found.reasons == ["time_limit of 600 s is over at base: 8 of 12 rows"]


def test_thresholds_and_behaviours_decide_too(models: dict[str, Path], mlflow: Any, tmp_path: Path) -> None:
    """Better than base is not enough: each missed threshold and each failed behaviour is a reason of its own."""
    passes = Passes(minimum={"exact_match": 0.5}, maximum={"perplexity": 1.0})
    paths = make_evaluated(tmp_path, behaviours=behaviours("answers-in-json"), passes=passes)
    publish(paths, models["taught"])
    found = step.evaluate(paths, mlflow)
    assert found is not None
    assert found.verdict == "failed"
    assert [reason.split()[0] for reason in found.reasons] == ["perplexity", "behaviour"]
    assert found.behaviours[0].failures[0].startswith("as-json: ")
    kept = json.loads((step.folder(paths) / "behaviours.json").read_text(encoding="utf-8"))
    assert set(kept) == {"answers-in-json/as-json"}


def test_a_model_that_cannot_be_loaded_fails_and_does_not_stop_publishing(
    models: dict[str, Path], mlflow: Any, tmp_path: Path
) -> None:
    """A published folder that transformers cannot load is a verdict with its reason, not an exception."""
    paths = make_evaluated(tmp_path, metrics=["exact_match"])
    broken = shutil.copytree(models["taught"], tmp_path / "broken")
    (broken / "config.json").write_text('{"model_type": "nothing-known"}', encoding="utf-8")
    publish(paths, broken)
    found = step.evaluate(paths, mlflow)
    assert found is not None
    assert found.verdict == "failed"
    assert found.reasons[0].startswith("it could not be scored: ")


def test_batches_change_neither_answers_nor_likelihoods(models: dict[str, Path]) -> None:
    """Padding is invisible: one row alone gives the answer and the likelihood that it gives among others, and transformers' own loss."""
    import torch

    asking = Answering(models["taught"], "chatml", {}, "float32", gpu=False)
    pairs = [asking.encode(row) for row in rows()]
    answers, surprises = asking.answers([prompt for prompt, _ in pairs], 8), asking.surprises(pairs)
    for (prompt, answer), text, (surprise, tokens) in zip(pairs, answers, surprises, strict=True):
        assert asking.answers([prompt], 8) == [text]
        ids = torch.tensor([prompt + answer])
        labels = torch.tensor([[-100] * len(prompt) + answer])
        with torch.inference_mode():
            loss = float(asking._model(input_ids=ids, labels=labels).loss)
        assert tokens == len(answer)
        assert math.isclose(surprise / tokens, loss, rel_tol=1e-4, abs_tol=1e-6)


def test_rows_are_spread_over_the_data_and_never_training_rows(tmp_path: Path) -> None:
    """Fewer rows than there are: evenly spaced, and a training row counts among none of them."""
    paths = make_evaluated(tmp_path)
    assert paths.lock.run.evaluation is not None
    found = held_out(paths, paths.lock.run.evaluation.datasets, 4, tmp_path)
    assert [row.expected for row in found.rows] == ["card", "loan", "loan", "account"]
    assert found.trained_on == 1
