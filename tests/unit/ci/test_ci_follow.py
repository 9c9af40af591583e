"""The job `train`: waiting for a verdict and following its runs, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ci.follow import main
from tests.unit.ci.bot_answers import Answer, Answers, answering

COMMIT, SHA256 = "c" * 40, "a" * 64
TOKEN = "eyJhbGciOi.the-jobs-id-token.c2ln"
RUN = {
    "experiment": "experiments/team-a/exp-002.yaml",
    "environment": "dev",
    "run_id": "exp-002-aaaaaaaa",
    "sha256": SHA256,
    "state": "authorized",
    "merge_request": 12,
    "reasons": [],
}
MODEL = {"name": "team-a.topic-sorter", "version": 3, "tags": {}}


def verdict(**changed: Any) -> Answer:
    """The bot's decision with one run."""
    return 200, {"commit": COMMIT, "state": "decided", "runs": [{**RUN, **changed}], "reasons": []}


def run(state: str, **more: Any) -> Answer:
    """What the bot says of the run."""
    return 200, {**RUN, "state": state, **more}


def follow(server: Answers, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    """Run the job against the server, asking without pauses."""
    monkeypatch.setenv("BOT_URL", server.url)
    monkeypatch.setenv("BOT_ID_TOKEN", TOKEN)
    monkeypatch.setenv("CI_COMMIT_SHA", COMMIT)
    return main(["--reports", str(folder), "--every", "0.01", *more])


def test_progress_is_shown_until_the_model_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict is waited for, each change of the run is one line, and the result is kept for the next job."""
    half = run("running", percent=50.0, step=40, steps=80, loss=1.25, eta_seconds=95)
    script = {
        f"/verdicts/{COMMIT}": [(404, {}), (200, {"commit": COMMIT, "state": "waiting", "runs": [], "reasons": []}), verdict()],
        f"/runs/{SHA256}": [run("queued"), half, half, half, run("publishing"), run("registered", model=MODEL)],
    }  # fmt: skip
    with answering(script) as server:
        assert follow(server, tmp_path, monkeypatch) == 0
        assert {token for _, token in server.asked} == {f"Bearer {TOKEN}"}
    assert capsys.readouterr().out.splitlines() == [
        f"commit {COMMIT[:12]}: waiting for the bot's verdict",
        "exp-002-aaaaaaaa  queued",
        "exp-002-aaaaaaaa  running  50 %  step 40 of 80  loss 1.2500  about 1 min left",
        "exp-002-aaaaaaaa  publishing",
        "exp-002-aaaaaaaa  registered  team-a.topic-sorter version 3",
    ]
    assert [kept["state"] for kept in json.loads((tmp_path / "runs.json").read_text())] == ["registered"]


def test_refused_run_fails_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody approved is not followed: the job fails with the bot's reason."""
    script = {f"/verdicts/{COMMIT}": [verdict(state="refused", reasons=["0 of 1 approvals by team-a's approvers"])]}
    with answering(script) as server:
        assert follow(server, tmp_path, monkeypatch) == 1
    assert "  why: 0 of 1 approvals by team-a's approvers" in capsys.readouterr().out


def test_failed_run_fails_with_its_last_lines_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason, the log's last lines and what to do stand at the end, and no control character gets through."""
    log = ["step 3", "\x1b[31mCUDA out of memory\x1b[0m", "\rsection_start:1:x\r\x1b[0K"]
    failed = run("failed", reason="exit code 4", remedy="halve per_device_train_batch_size", log=log)
    with answering({f"/verdicts/{COMMIT}": [verdict()], f"/runs/{SHA256}": [failed]}) as server:
        assert follow(server, tmp_path, monkeypatch) == 1
    said = capsys.readouterr().out
    assert "  why: exit code 4" in said
    assert "  next: halve per_device_train_batch_size" in said
    assert "CUDA out of memory" in said
    assert "\x1b" not in said
    assert "\r" not in said


def test_cancelled_run_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A merge request that cancels, and a run that is cancelled while the job follows it, end well."""
    with answering({f"/verdicts/{COMMIT}": [verdict()], f"/runs/{SHA256}": [run("cancelled")]}) as server:
        assert follow(server, tmp_path, monkeypatch) == 0
    assert "exp-002-aaaaaaaa  cancelled" in capsys.readouterr().out


def test_commit_without_a_run_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A push that starts nothing is said to be one."""
    nothing = (200, {"commit": COMMIT, "state": "decided", "runs": [], "reasons": []})
    with answering({f"/verdicts/{COMMIT}": [nothing]}) as server:
        assert follow(server, tmp_path, monkeypatch) == 0
    assert "the bot found no run to start" in capsys.readouterr().out


def test_a_branch_that_does_not_move_fails_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reason for the whole commit, such as an unapproved change of tools/, is shown and fails."""
    blocked = (
        200,
        {"commit": COMMIT, "state": "decided", "runs": [], "reasons": ["tools/cli.py: no admin approved it"]},
    )
    with answering({f"/verdicts/{COMMIT}": [blocked]}) as server:
        assert follow(server, tmp_path, monkeypatch) == 1
    assert "tools/cli.py: no admin approved it" in capsys.readouterr().out


@pytest.mark.parametrize("fault", [(500, {}), (503, b"<html>"), (429, {}), (200, b'{"half": '), (200, [1])])
def test_a_bot_that_is_away_is_asked_again(
    fault: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault of the bot's fails no run: the job says so and goes on."""
    script = {
        f"/verdicts/{COMMIT}": [fault, verdict()],
        f"/runs/{SHA256}": [run("running"), fault, run("registered", model=MODEL)],
    }
    with answering(script) as server:
        assert follow(server, tmp_path, monkeypatch) == 0
    assert capsys.readouterr().out.count("asking again") == 2


def test_a_bot_that_stays_away_ends_the_job_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the time that it may be silent the job ends with 3 and says that the run goes on."""
    with answering({f"/verdicts/{COMMIT}": [(500, {})]}) as server:
        assert follow(server, tmp_path, monkeypatch, "--silence", "0.05") == 3
    assert "the run itself goes on: retry this job" in capsys.readouterr().err


def test_no_verdict_in_time_ends_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bot that answers but never decides is waited for only so long."""
    with answering({}) as server:
        assert follow(server, tmp_path, monkeypatch, "--decision", "0.05") == 3
    assert "no verdict" in capsys.readouterr().err


@pytest.mark.parametrize("status", [401, 403, 302])
def test_a_refusal_names_the_settings_and_never_the_token(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """401, 403 and a redirect are no reason to ask again; the token goes nowhere else and stands in no message."""
    with answering({"/stolen": [(200, {})]}) as other, answering({}) as server:
        content = f"{other.url}/stolen".encode() if status == 302 else f"no: {TOKEN}".encode()
        server.script[f"/verdicts/{COMMIT}"] = [(status, content)]
        assert follow(server, tmp_path, monkeypatch) == 2
        assert other.asked == []
    said = capsys.readouterr()
    assert TOKEN not in said.out + said.err
    assert "docs/gitlab-setup.md" in said.err


@pytest.mark.parametrize(
    ("url", "token", "words"), [("", TOKEN, "BOT_URL"), ("file:///etc", TOKEN, "BOT_URL"), ("https://ft-bot.example", "", "id_tokens")]
)  # fmt: skip
def test_missing_settings_are_named(
    url: str,
    token: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without an address of the bot, or an id token, the job says which setting is missing."""
    monkeypatch.setenv("BOT_URL", url)
    monkeypatch.setenv("BOT_ID_TOKEN", token)
    assert main(["--reports", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
