"""The command line as a whole: help, exit codes, and that nothing heavy is imported."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cli import COMMANDS, main, parser_of

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "mlflow", "llamafactory", "peft", "datasets", "numpy")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`ft --help` names each command and succeeds."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`ft COMMAND --help` succeeds, and every argument has a help text."""
    assert main([name, "--help"]) == 0
    assert f"usage: ft {name}" in capsys.readouterr().out
    parsers = [parser_of(name)]
    while parsers:
        parser = parsers.pop()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
            else:
                assert action.help, f"ft {name}: {action.dest} has no help text"


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["validate", "--no-such-option"], ["run"]])
def test_wrong_usage_is_exit_code_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Usage faults end with 2 and say something."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err or captured.out


def test_outside_a_repository_is_exit_code_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is no platform repository is named, with what to do."""
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 2
    assert "--repo" in capsys.readouterr().err


def test_no_command_imports_anything_heavy() -> None:
    """`ft` stays light: all its modules together import no torch, transformers or mlflow."""
    script = (
        "import importlib, json, sys; from tools.cli import COMMANDS\n"
        "for name in COMMANDS: importlib.import_module('tools.commands.' + (name + '_' if name == 'import' else name.replace('-', '_')))\n"
        "print(json.dumps(sorted({module.partition('.')[0] for module in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(json.loads(done.stdout))
