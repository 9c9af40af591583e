"""`ft import` of the configs in fixtures/llamafactory-configs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.cli import main

FIXTURES = Path(__file__).parents[1] / "fixtures"
CONFIGS = FIXTURES / "llamafactory-configs"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the repository that a test may change."""
    return Path(shutil.copytree(FIXTURES / "plan-repository", tmp_path / "repository"))


def _import(root: Path, config: Path, *arguments: str) -> int:
    to = str(root / "experiments/team-a/imported.yaml")
    return main(["import", str(config), "--to", to, "--repo", str(root), "--owner", "anna.nowak", *arguments])


def _written(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((root / "experiments/team-a/imported.yaml").read_text())
    return found


def test_webui_export(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What LLaMA Board exports becomes a valid experiment: quantised LoRA is qlora, platform-owned keys are moved away with their places."""
    assert _import(root, CONFIGS / "webui-training-args.yaml") == 0
    out = capsys.readouterr().out
    written = _written(root)
    assert "it is valid" in out
    assert (written["model"], written["datasets"], written["method"]) == ("seven-b", ["support-pl"], "qlora")
    assert written["train"]["learning_rate"] == 5e-5
    assert not {"output_dir", "dataset_dir", "report_to", "trust_remote_code", "template"} & written["train"].keys()
    assert "webui-training-args.yaml:27:1: output_dir:" in out
    assert "the run id names the output folder" in out


def test_project_example(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example style is read as OmegaConf reads it: 1e-4 is a number, an unquoted yes is true; another template is pointed out."""
    assert _import(root, CONFIGS / "example-lora-sft.yaml") == 0
    out = capsys.readouterr().out
    written = _written(root)
    assert "it is valid" in out
    assert written["datasets"] == ["support-pl", "notes"]
    assert written["train"]["learning_rate"] == 1e-4
    assert written["train"]["plot_loss"] is True
    assert "plot_loss: yes is written as true" in out
    assert "the catalogue sets llama2" in out


def test_full_training_with_deepspeed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """DeepSpeed and evaluation data are moved away, an older key is renamed, and evaluation without rows is left out at its own line."""
    assert _import(root, CONFIGS / "example-full-deepspeed.yaml", "--gpus", "2") == 0
    out = capsys.readouterr().out
    written = _written(root)
    assert (written["model"], written["method"], written["resources"]["gpus"]) == ("one-b", "full", 2)
    assert "yaml:28:1: evaluation_strategy: renamed: it is eval_strategy now" in out
    assert not {"deepspeed", "eval_strategy", "eval_steps", "eval_dataset"} & written["train"].keys()


def test_llama_board_form(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The board's saved form is flattened as the board does it: numbers typed as text, extra arguments, boosters; switched-off parts go."""
    assert _import(root, CONFIGS / "llamaboard-config.yaml") == 0
    capsys.readouterr()
    train = _written(root)["train"]
    assert (train["learning_rate"], train["num_train_epochs"], train["max_samples"]) == (5e-5, 3.0, 100000)
    assert (train["optim"], train["weight_decay"], train["bf16"]) == ("adamw_torch", 0.01, True)
    assert not [key for key in train if key.startswith(("galore", "apollo", "badam", "pref", "image", "freeze", "ppo"))]
    assert train["enable_liger_kernel"] is True  # the form's booster


def test_older_keys_typos_and_secrets(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Renamed keys take their values along, a typo is answered, tokens are never shown."""
    assert _import(root, CONFIGS / "older.yaml") == 0
    out = capsys.readouterr().out
    assert _written(root)["train"]["pref_beta"] == 0.1
    assert 'did you mean "learning_rate"?' in out
    assert "write `cutoff_len`" in out
    assert "abc123" not in out
    assert "hf_secret_value" not in out


def test_unknown_model_and_data_are_written_and_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names that the tenant lacks are kept for the author to correct, each with its line and the choices."""
    config = CONFIGS / "unknown-model-and-data.yaml"
    assert _import(root, config) == 0
    out = capsys.readouterr().out
    assert "unknown-model-and-data.yaml:2:1: model_name_or_path:" in out
    assert "write one of seven-b, one-b" in out
    assert 'yaml:6:1: dataset: "identity": not among the tenant\'s datasets (notes, support-pl)' in out
    assert "error model-allowed" in out
    assert "error dataset-known" in out
    assert "identity" in _written(root)["datasets"]


@pytest.mark.parametrize("written", ["Qwen/Qwen2.5-7B-Instruct", "saves/Qwen2.5-7B-Instruct/"])
def test_an_unknown_models_name_stays_whole(root: Path, tmp_path: Path, written: str) -> None:
    """Dots of a version become hyphens: the name in the experiment is that of the model, not the part before a dot."""
    config = tmp_path / "config.yaml"
    text = (CONFIGS / "unknown-model-and-data.yaml").read_text()
    config.write_text(re.sub("model_name_or_path: .*", f"model_name_or_path: {written}", text))
    assert _import(root, config) == 0
    assert _written(root)["model"] == "qwen2-5-7b-instruct"


def test_model_and_data_can_be_given(root: Path) -> None:
    """With --model and --dataset the same config becomes a valid experiment."""
    config = CONFIGS / "unknown-model-and-data.yaml"
    assert _import(root, config, "--model", "one-b", "--dataset", "notes", "--dataset", "support-pl") == 0
    assert _written(root)["datasets"] == ["notes", "support-pl"]


def test_a_stranger_imports_for_the_first_member(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where git knows no member, the first one is written and the author is told."""
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "config", "user.name", "Somebody"], check=True)
    config = str(CONFIGS / "unknown-model-and-data.yaml")
    assert main(["import", config, "--to", "experiments/team-a/imported.yaml", "--repo", str(root)]) == 0
    assert "owner: anna.nowak, because git's user.name 'Somebody' is no member" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("inference.yaml", "does not train"),
        ("ppo.yaml", 'stage "ppo" is not supported'),
        ("interpolation.yaml", "interpolation.yaml:7:14: interpolation:"),
        ("alias.yaml", "yaml-alias"),
        ("broken.yaml", "yaml-syntax"),
        ("list.yaml", "a mapping of LLaMA Factory's arguments"),
        ("none.yaml", "cannot be read"),
    ],
)
def test_what_cannot_be_imported(root: Path, capsys: pytest.CaptureFixture[str], config: str, said: str) -> None:
    """Configs that do not train, hostile and broken files: exit 1, the reason with its place, nothing written."""
    assert _import(root, CONFIGS / config) == 1
    out = capsys.readouterr().out
    assert said in out
    assert "nothing was written" in out
    assert not (root / "experiments/team-a/imported.yaml").exists()


def test_targets_are_checked(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An existing experiment, a place where none belongs and an unknown model or dataset are wrong usage."""
    config = str(CONFIGS / "example-lora-sft.yaml")
    common = ["--repo", str(root), "--owner", "anna.nowak"]
    assert main(["import", config, "--to", "experiments/team-a/exp-001.yaml", *common]) == 2
    assert "not overwritten" in capsys.readouterr().err
    assert main(["import", config, "--to", "catalog/models/x.yaml", *common]) == 2
    assert _import(root, Path(config), "--model", "seven") == 2
    assert 'did you mean "seven-b"?' in capsys.readouterr().err
    assert _import(root, Path(config), "--dataset", "note") == 2


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_KEYS = [
    "do_train",
    "stage",
    "finetuning_type",
    "dataset",
    "model_name_or_path",
    "template",
    "quantization_bit",
    "val_size",
    "plot_loss",
    "lora_target",
    "top.model_name",
    "train.dataset",
    "train.extra_args",
    "train.compute_type",
    "train.training_stage",
    "top.booster",
    "dpo_beta",
]


@given(changes=st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=10), _VALUES, max_size=6))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_mapping_is_imported_or_refused(root: Path, changes: dict[str, Any]) -> None:
    """Whatever the values are, the command ends with 0 or 1, never with a traceback."""
    base = yaml.safe_load((CONFIGS / "webui-training-args.yaml").read_text())
    config = root / "config.yaml"
    config.write_text(yaml.safe_dump({**base, **changes}), encoding="utf-8")
    (root / "experiments/team-a/imported.yaml").unlink(missing_ok=True)
    assert _import(root, config) in {0, 1}
