"""The client of Argo CD over real HTTP; tests/e2e asks the real server."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.bot.argocd_standin import PROJECT, TOKEN, StandIn, serving
from tools.bot.upkeep.argocd import Application, ArgoAway, ArgoCD, ArgoRefused

NAME = "team-a.plain"


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A server with one idle Application."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(StandIn(phases={NAME: "Succeeded"})) as found:
        yield found


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """The file that a Secret is mounted as."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
def argocd(standin: StandIn, token_file: Path) -> ArgoCD:
    """The client of team A's project."""
    return ArgoCD(f"{standin.url}/", PROJECT, token_file, seconds=0.5)


def test_an_application_is_read(argocd: ArgoCD) -> None:
    """Sync, health, operation and revision are there; one that does not exist is None."""
    assert argocd.application(NAME) == Application(NAME, "Synced", "Healthy", "Succeeded", "a" * 40, deleting=False)
    assert argocd.application("team-a.absent") is None


def test_a_sync_runs_hooks_and_forces_nothing(argocd: ArgoCD, standin: StandIn) -> None:
    """Only the hook strategy runs PostSync; prune, force or replace would delete a finished Job and train again."""
    assert argocd.sync(NAME)
    assert standin.bodies[-1] == {
        "name": NAME,
        "project": PROJECT,
        "prune": False,
        "strategy": {"hook": {"force": False}},
    }
    found = argocd.application(NAME)
    assert found is not None
    assert found.busy


def test_a_second_sync_is_none(argocd: ArgoCD) -> None:
    """While an operation runs there is nothing to start, and that is no fault."""
    assert argocd.sync(NAME)
    assert not argocd.sync(NAME)
    assert not argocd.sync("team-a.absent")


def test_an_operation_is_ended_once(argocd: ArgoCD, standin: StandIn) -> None:
    """Ending what does not run, or is not there, is no fault."""
    assert not argocd.terminate(NAME)
    assert not argocd.terminate("team-a.absent")
    standin.phases[NAME] = "Running"
    assert argocd.terminate(NAME)
    assert standin.phases[NAME] == "Terminating"


def test_a_rotated_token_is_taken_up(argocd: ArgoCD, token_file: Path) -> None:
    """The file is read at each call, so a new token needs no restart."""
    token_file.write_text("an-old-token")
    with pytest.raises(ArgoRefused, match=f"argocd proj role create-token {PROJECT} bot"):
        argocd.application(NAME)
    token_file.write_text(TOKEN)
    assert argocd.application(NAME) is not None


@pytest.mark.parametrize("fault", [500, 502, 503, 429, "hang", "half"])
def test_no_usable_answer_is_tried_again_later(argocd: ArgoCD, standin: StandIn, fault: int | str) -> None:
    """A server that is away is nobody's mistake."""
    standin.fault = fault
    for call in (argocd.application, argocd.sync, argocd.terminate):
        with pytest.raises(ArgoAway, match="the next round tries again"):
            call(NAME)


def test_a_server_that_is_not_there(token_file: Path) -> None:
    """A closed port is the same."""
    with pytest.raises(ArgoAway, match="the next round tries again"):
        ArgoCD("http://127.0.0.1:9", PROJECT, token_file).sync(NAME)


@pytest.mark.parametrize(("fault", "words"), [(401, "create-token"), (403, "may not do that"), (418, "server log")])
def test_a_refusal_says_what_to_do(argocd: ArgoCD, standin: StandIn, fault: int, words: str) -> None:
    """Each refusal names the setting to change."""
    standin.fault = fault
    with pytest.raises(ArgoRefused, match=words):
        argocd.sync(NAME)


def test_redirects_are_not_followed(argocd: ArgoCD, standin: StandIn) -> None:
    """The token goes to the configured address and to no other."""
    standin.fault = "redirect"
    with pytest.raises(ArgoRefused, match="HTTP 302"):
        argocd.application(NAME)
    assert [line for line in standin.asked if "elsewhere" in line] == []


def test_other_projects_are_refused(standin: StandIn, token_file: Path) -> None:
    """A token of team A's project says nothing of team B."""
    with pytest.raises(ArgoRefused, match="HTTP 403"):
        ArgoCD(standin.url, "finetuning-team-b", token_file).application(NAME)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_token_file_that_is_none(standin: StandIn, tmp_path: Path, content: bytes | None) -> None:
    """The message names the file and the command that makes a token."""
    file = tmp_path / "bad"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ArgoRefused, match="create-token"):
        ArgoCD(standin.url, PROJECT, file).application(NAME)


@pytest.mark.parametrize("fault", [400, 401, 403, 500, "hang", "half", "redirect"])
def test_no_fault_shows_the_token(argocd: ArgoCD, standin: StandIn, fault: int | str) -> None:
    """Neither message nor traceback has it, not even when the server repeats it."""
    standin.fault = fault
    with pytest.raises((ArgoAway, ArgoRefused)) as caught:
        argocd.terminate(NAME)
    assert TOKEN in standin.seen_tokens
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_a_name_cannot_leave_its_place(argocd: ArgoCD, standin: StandIn) -> None:
    """A name is one segment of the path, whatever it holds."""
    assert argocd.application("../projects/x?y=z") is None
    assert standin.asked[-1].startswith("GET /api/v1/applications/..%2Fprojects%2Fx%3Fy%3Dz?project=")
