"""What the rules let pass, the pinned LLaMA Factory's own parser takes."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tools.rules import rules_of
from tools.yamlsource import load

EXPERIMENT_RULES = {rule.id for rule in rules_of("experiment")}
FIXTURES = Path(__file__).parents[1] / "fixtures" / "rules"
CASES = sorted(case for case in FIXTURES.glob("*/good-*.yaml") if case.parent.name in EXPERIMENT_RULES)
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("llamafactory") is None, reason="needs the runner's environment"),
]


def arguments_of(case: Path, folder: Path) -> dict[str, Any]:
    """The experiment as a LLaMA Factory config for the CPU."""
    experiment = load(case, case.name).data
    return {
        "model_name_or_path": "model",
        "template": "smollm2",
        "dataset": ",".join(experiment["datasets"]),
        "output_dir": str(folder),
        "stage": experiment.get("stage", "sft"),
        "finetuning_type": "full" if experiment["method"] == "full" else "lora",
        "do_train": True,
        "use_cpu": True,
        "report_to": "none",
        **experiment.get("train", {}),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_a_good_experiment_is_taken(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No combination that the rules call good is refused once the GPU is already booked."""
    parser = import_module("llamafactory.hparams.parser")
    # The parser wants to be started by torchrun; what it asks torchrun for is only how many processes there are.
    for variable, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_PORT", "29511")):
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    parser.get_train_args(arguments_of(case, tmp_path))
