"""A task in a process of its own: its result and its fault come back, and its death is a fault like others."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.gitlab.site import Site
from tools.bot.serve.child import apart
from tools.bot.settings import read
from tools.errors import FtError, ToolFault


def says_who_it_is(key: str, _settings: object) -> int:
    """Write process id and niceness to the file that the key names."""
    Path(key).write_text(f"{os.getpid()} {os.nice(0)}")
    return 1


def fails(key: str, _settings: object) -> int:
    """Raise what a round raises."""
    raise FtError(key)


def dies(_key: str, _settings: object) -> int:
    """As the kernel ends what takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def breaks(key: str, settings: object) -> int:
    """A fault of the bot, with the token in its message."""
    token = settings.gitlab.token_file.read_text().strip()  # type: ignore[attr-defined]
    raise ZeroDivisionError(f"{key}: {token}")


def test_it_runs_elsewhere_at_low_priority(settings_file: Path, tmp_path: Path) -> None:
    """Its exit code is the task's."""
    assert apart(says_who_it_is, str(tmp_path / "who"), read(settings_file)) == 1
    number, niceness = map(int, (tmp_path / "who").read_text().split())
    assert number != os.getpid()
    assert niceness >= min(19, os.nice(0) + 10)


def test_its_fault_is_the_tasks(settings_file: Path) -> None:
    """With its own words, for the log and for the next try."""
    with pytest.raises(ToolFault, match="GitLab is away"):
        apart(fails, "GitLab is away", read(settings_file))


def test_its_death_is_a_fault(settings_file: Path) -> None:
    """The task waits and is done again; the server goes on."""
    with pytest.raises(ToolFault, match="its process died"):
        apart(dies, "", read(settings_file))


def test_its_log_holds_no_token(settings_file: Path, site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """What it logs is masked as in the server, and a fault of the bot's own ends the task alone."""
    with pytest.raises(ToolFault, match="a fault of the bot"):
        apart(breaks, "unexpected", read(settings_file))
    said = capfd.readouterr().err
    assert "ZeroDivisionError: unexpected: ***" in said
    assert site.bot.token not in said
