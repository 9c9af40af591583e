"""`ft new` on a copy of fixtures/plan-repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tools.cli import main

FIXTURE = Path(__file__).parents[1] / "fixtures" / "plan-repository"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A git repository of Anna Nowak's with one dataset."""
    root = Path(shutil.copytree(FIXTURE, tmp_path / "repository"))
    (root / "tenants/team-a/datasets/notes.yaml").unlink()
    for name in ("full", "on-cpu"):
        (root / f"experiments/team-a/{name}.yaml").unlink()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "config", "user.name", "Anna Nowak"], check=True)
    subprocess.run(["git", "-C", str(root), "config", "user.email", "someone@mail.example"], check=True)
    return root


def _new(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["new", "--repo", str(root), *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_everything_is_chosen(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without options: the only tenant, the next free name, its first model, its only dataset, the member that git knows; and it validates."""
    code, out, _ = _new(root, capsys)
    assert code == 0
    assert "wrote experiments/team-a/exp-003.yaml; it is valid" in out
    written = yaml.safe_load((root / "experiments/team-a/exp-003.yaml").read_text())
    assert (written["model"], written["datasets"], written["owner"]) == ("seven-b", ["support-pl"], "anna.nowak")
    assert written["train"]["cutoff_len"] == 1024  # 99 % of the rows have at most 900 tokens


def test_a_locked_name_is_not_free(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that an overlay has is passed over, for its run may still be going."""
    (root / "overlays/dev/team-a/exp-003").mkdir(parents=True)
    assert "exp-004" in _new(root, capsys)[1]


def test_every_value_has_its_comment(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file starts with what it is, who owns it and how to check it, and says what each value does."""
    text = _new(root, capsys, "--output", "-")[1]
    lines = text.splitlines()
    assert "$schema=" in lines[0]
    assert "anna.nowak owns it" in lines[1]
    assert "ft validate" in lines[2]
    bare = [
        line for line in lines[3:] if "#" not in line and not line.startswith(("version:", "resources:", "publish:"))
    ]
    assert bare == []
    assert not (root / "experiments/team-a/exp-003.yaml").exists()


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
@pytest.mark.parametrize("stage", ["pt", "sft"])
def test_methods_and_stages_validate(root: Path, capsys: pytest.CaptureFixture[str], method: str, stage: str) -> None:
    """Each method and stage that the data allows is valid as written."""
    _, out, _ = _new(root, capsys, "--method", method, "--stage", stage)
    assert "it is valid" in out


def test_preference_data_gives_dpo(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pairs of answers are trained with dpo, with its own learning rate and pref_beta."""
    dataset = root / "tenants/team-a/datasets/support-pl.yaml"
    columns = "ranking: true\ncolumns: {prompt: instruction, chosen: chosen, rejected: rejected}\n"
    dataset.write_text(dataset.read_text() + columns)
    _, out, _ = _new(root, capsys)
    written = yaml.safe_load((root / "experiments/team-a/exp-003.yaml").read_text())
    assert "it is valid" in out
    assert (written["stage"], written["train"]["learning_rate"], written["train"]["pref_beta"]) == ("dpo", 5e-6, 0.1)


def test_options_are_written_down(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Name, model, owner, environment, description and GPUs are those given; difficult texts stay text."""
    text = 'Says "yes: no" # to [all] {of} it'
    arguments = ("--name", "mine", "--model", "one-b", "--owner", "anna.nowak", "--environment", "prod", "--gpus", "0")
    _new(root, capsys, *arguments, "--description", text)
    written = yaml.safe_load((root / "experiments/team-a/mine.yaml").read_text())
    assert (written["model"], written["environment"], written["description"]) == ("one-b", "prod", text)
    assert written["resources"]["gpus"] == 0
    assert written["publish"]["model_name"] == "mine"


def test_output_names_the_place(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--output gives tenant and name at once and excludes both options."""
    file = root / "experiments/team-a/there.yaml"
    assert _new(root, capsys, "--output", str(file))[0] == 0
    assert file.is_file()
    assert _new(root, capsys, "--output", str(file), "--name", "x")[0] == 2


def test_nothing_is_overwritten(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An existing name is refused with exit 2 and its file stays as it was."""
    file = root / "experiments/team-a/exp-001.yaml"
    before = file.read_bytes()
    code, _, err = _new(root, capsys, "--name", "exp-001")
    assert (code, file.read_bytes()) == (2, before)
    assert "not overwritten" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dataset", "suport-pl"), 'did you mean "support-pl"?'),
        (("--model", "seven"), 'did you mean "seven-b"?'),
        (("--tenant", "team-b"), 'did you mean "team-a"?'),
        (("--owner", "anna.nowk"), 'did you mean "anna.nowak"?'),
        (("--environment", "prd"), 'did you mean "prod"?'),
        (("--name", "Exp_1"), "a DNS label"),
        (("--name", "../../escape"), "no place for an experiment"),
        (("--output", "elsewhere.yaml"), "outside the repository"),
    ],
)
def test_unknown_names_get_a_suggestion(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """A near-miss is named, anything else says what is allowed; exit 2 and nothing written."""
    code, _, err = _new(root, capsys, *arguments)
    assert code == 2
    assert said in err
    assert not (root / "experiments/team-a/exp-003.yaml").exists()


def test_a_choice_is_asked_for(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With two datasets and none named the message names them; a git user who is no member gets the first one written."""
    shutil.copy(FIXTURE / "tenants/team-a/datasets/notes.yaml", root / "tenants/team-a/datasets")
    assert "give --dataset with one of notes, support-pl" in _new(root, capsys)[2]
    subprocess.run(["git", "-C", str(root), "config", "user.name", "Somebody"], check=True)
    assert (
        "owner: anna.nowak, because git's user.name 'Somebody' is no member"
        in _new(root, capsys, "--dataset", "notes")[2]
    )
