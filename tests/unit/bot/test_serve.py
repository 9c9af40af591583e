"""`ft bot serve` as a real process: GitLab's webhooks in, comments out, and no event lost when it is killed."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gitlab import faults
from tests.gitlab.bot_server import BotServer, until
from tests.gitlab.model import Merge
from tests.gitlab.site import BOT_URL, WEBHOOK_SECRET, Site
from tools.bot.settings import read
from tools.bot.tasks import Tasks

MARKER = "<!-- ft-bot: report -->"


@pytest.fixture
def server(settings_file: Path, tmp_path: Path) -> Iterator[BotServer]:
    """The bot's server over the site, started; GitLab's webhook is not set up yet."""
    made = BotServer(settings_file, tmp_path / "server.log").start()
    yield made
    made.kill()


@pytest.fixture
def hooked(site: Site, server: BotServer) -> BotServer:
    """The server with the project's webhook pointing at it."""
    site.gitlab.add_hook(site.project, f"{server.url}/webhook", WEBHOOK_SECRET)
    return server


def reports(merge: Merge) -> list[str]:
    """The comments that carry the bot's marker."""
    return [note.body for note in merge.notes if MARKER in note.body]


def event(site: Site, iid: int, **more: object) -> bytes:
    """The body of a merge request event."""
    attributes = {"iid": iid, "target_branch": "main", "action": "open", **more}
    body = {"object_kind": "merge_request", "project": {"id": site.project.id}, "object_attributes": attributes}
    return json.dumps(body).encode()


def headers(token: str = WEBHOOK_SECRET, key: str = "delivery-1") -> dict[str, str]:
    """A webhook's headers."""
    return {"X-Gitlab-Token": token, "Idempotency-Key": key, "Content-Type": "application/json"}


def test_an_opened_merge_request_gets_one_comment(site: Site, hooked: BotServer) -> None:
    """From the webhook to the comment; a push updates it in place."""
    merge = site.propose(site.user("anna.nowak"), site.experiment(), branch="exp")
    (first,) = until(lambda: reports(merge), f"the comment ({hooked.log.read_text()})")
    site.gitlab.push(site.user("anna.nowak"), site.project, "exp", site.experiment(description="Another text"))
    until(lambda: reports(merge) not in ([], [first]), "the update")
    assert len(reports(merge)) == 1
    assert {each.status for each in site.gitlab.webhooks.deliveries if b"oldrev" in each.body} == {202}


@pytest.mark.parametrize("token", ["", "wrong", WEBHOOK_SECRET + "x", WEBHOOK_SECRET[:-1], "\u00e9"])
def test_another_token_is_refused(site: Site, server: BotServer, token: str) -> None:
    """Nothing is queued for who does not know the secret."""
    answer = server.post(event(site, 1), headers(token.encode().decode("latin-1")))
    assert answer.status == 401
    assert "secret token" in answer.data["remedy"]


def test_what_is_no_event_is_refused(server: BotServer) -> None:
    """Broken JSON, another shape, nesting without end and numbers without end are 400, and the server lives on."""
    endless = b'{"object_kind": "push", "project": {"id": 1e999}}'
    for body in (b"{", b"[]", b'{"project": 3}', b'{"a":' * 100_000, endless):
        assert server.post(body, headers()).status == 400
    assert server.get("/healthz").status == 200


def test_a_body_without_end_is_refused(server: BotServer) -> None:
    """Nine mebibytes are not read."""
    assert server.post(b'"' + b"x" * (9 * 2**20) + b'"', headers()).status == 413


def test_events_of_others_are_ignored(site: Site, server: BotServer) -> None:
    """Another project, another target branch and other kinds of events ask for nothing."""
    other = event(site, 1).replace(str(site.project.id).encode(), b"4711")
    for body in (
        other,
        event(site, 1, target_branch="release"),
        b'{"object_kind":"job","project":{"id":%d}}' % site.project.id,
    ):
        answer = server.post(body, headers())
        assert (answer.status, answer.data) == (200, {"result": "ignored"})


def test_a_repeated_webhook_is_answered_and_not_done_again(site: Site, hooked: BotServer) -> None:
    """GitLab's repetition of the same delivery makes no second comment and no second report."""
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    until(lambda: reports(merge), "the comment")
    delivery = next(each for each in site.gitlab.webhooks.deliveries if b"merge_request" in each.body)
    again = site.gitlab.webhooks.redeliver(delivery)
    until(lambda: again.status, "the repetition")
    assert again.status == 200
    assert len(reports(merge)) == 1
    assert b'ft_bot_webhooks_total{result="repeated"} 1.0' in hooked.get("/metrics").body


def test_the_answer_does_not_wait_for_gitlab(site: Site, server: BotServer) -> None:
    """While GitLab hangs, a webhook is still accepted: its work waits in the queue."""
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    site.gitlab.faults.add(faults.HANG, "GET .*/merge_requests/1", times=99)
    assert server.post(event(site, merge.iid), headers()).status == 202
    assert server.get("/healthz").status == 200


def test_gitlab_away_delays_and_does_not_lose(site: Site, hooked: BotServer) -> None:
    """Some failing answers later the comment is there, once."""
    site.gitlab.faults.add(500, r"(POST|GET) .*/merge_requests/1", times=6)
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    until(lambda: reports(merge), f"the comment ({hooked.log.read_text()})")
    assert len(reports(merge)) == 1


def test_kill_9_before_the_work_loses_nothing(site: Site, server: BotServer) -> None:
    """Accepted, killed, started again: the comment comes, without another webhook."""
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    site.gitlab.faults.add(faults.HANG, "GET .*/merge_requests/1", times=99)
    assert server.post(event(site, merge.iid), headers()).status == 202
    server.kill()
    site.gitlab.faults.clear()
    server.start()
    until(lambda: reports(merge), f"the comment ({server.log.read_text()})")
    assert server.post(event(site, merge.iid), headers()).status == 200


def test_kill_9_between_the_comment_and_its_answer_makes_no_second(site: Site, hooked: BotServer) -> None:
    """The comment is in GitLab, the bot dies before it knows: after the restart there is still one."""
    site.gitlab.faults.add(faults.HANG, "POST .*/notes", after=True)
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    until(lambda: reports(merge), "the comment")
    hooked.kill()
    hooked.start()
    until(lambda: b'ft_bot_task_seconds_count{kind="report"}' in hooked.get("/metrics").body, "the report")
    assert len(reports(merge)) == 1


def test_sigterm_finishes_what_is_under_way(site: Site, hooked: BotServer) -> None:
    """An orderly end: the report that runs is finished, the exit code is 0, nothing is left in the queue for it."""
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    until(lambda: "/merge_requests/1" in "".join(call.path for call in site.gitlab.calls), "the report's start")
    assert hooked.terminate() == 0
    assert len(reports(merge)) == 1


def test_a_lost_webhook_is_made_up_for(site: Site, settings_file: Path, tmp_path: Path) -> None:
    """No webhook ever came: the server looks for itself and the comment is there."""
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    server = BotServer(settings_file, tmp_path / "server.log").start()
    try:
        until(lambda: reports(merge), f"the comment ({server.log.read_text()})")
    finally:
        server.kill()


def test_a_second_server_on_the_same_folder_is_refused(server: BotServer, settings_file: Path, tmp_path: Path) -> None:
    """Two would do each other's tasks."""
    second = BotServer(settings_file, tmp_path / "second.log")
    with pytest.raises(AssertionError, match="another `ft bot serve` uses"):
        second.start()
    assert server.get("/healthz").status == 200


def test_jobs_of_the_project_read_verdicts_and_runs(site: Site, server: BotServer, settings_file: Path) -> None:
    """With a job's id token: 404 before, then what the bot decided and where the run stands."""
    token = site.gitlab.issuer.token(site.gitlab.url, site.project, site.user("anna.nowak"), BOT_URL)
    commit, run = "c" * 40, {"run_id": "exp-002-aaaaaaaa", "state": "running"}
    assert server.get(f"/verdicts/{commit}", token).status == 404
    store = read(settings_file).open_store()
    verdict = {"state": "decided", "runs": [run], "reasons": []}
    store.save_verdict(commit, "dev", verdict)
    assert server.get(f"/verdicts/{commit}", token).data["state"] == "waiting"
    store.save_verdict(commit, "prod", {"state": "decided", "runs": [], "reasons": ["why"]})
    store.save_run("a" * 64, "exp-002-aaaaaaaa", run)
    answer = server.get(f"/verdicts/{commit}", token).data
    assert answer == {"commit": commit, "state": "decided", "runs": [run], "reasons": ["why"]}
    assert server.get("/runs/" + "a" * 64, token).data == run
    assert server.get("/runs/exp-002-aaaaaaaa", token).data == run


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"aud": "https://other.example"}, 401),
        ({"exp": 1_000_000_000}, 401),
        ({"iss": "https://evil.example"}, 401),
        ({"project_id": "4711"}, 403),
    ],
)
def test_other_jobs_read_nothing(site: Site, server: BotServer, claims: dict[str, object], status: int) -> None:
    """For another audience, expired, of another issuer or of another project: refused."""
    token = site.gitlab.issuer.token(site.gitlab.url, site.project, site.mallory, BOT_URL, **claims)
    assert server.get("/runs/x", token).status == status


def test_forged_id_tokens_read_nothing(site: Site, server: BotServer) -> None:
    """No token, no signature, another key with our key's name, and the public key used as a password."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import rsa

    good = site.gitlab.issuer.token(site.gitlab.url, site.project, site.mallory, BOT_URL)
    claims = jwt.decode(good, options={"verify_signature": False})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    named = {"kid": site.gitlab.issuer.key_id}
    forged = [
        jwt.encode(claims, None, algorithm="none", headers=named),
        jwt.encode(claims, key, algorithm="RS256", headers=named),
        jwt.encode(claims, site.gitlab.issuer.keys()["keys"][0]["n"], algorithm="HS256", headers=named),
        good[:-8] + "AAAAAAAA",
        "nonsense",
        site.bot.token,
    ]
    assert [server.get("/runs/x", token).status for token in [None, *forged]] == [401] * 7


def test_no_secret_is_in_the_log(site: Site, hooked: BotServer) -> None:
    """Faults of every kind, a revoked token included: neither token nor webhook secret is written."""
    for what in (401, 403, 500, faults.DROP, faults.CUT, faults.HTML):
        site.gitlab.faults.add(what, "GET .*/merge_requests", times=2)
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    until(lambda: reports(merge), f"the comment ({hooked.log.read_text()})")
    site.bot.revoked = True
    site.propose(site.user("jan.kowalski"), site.experiment(name="exp-003"))
    until(lambda: "expired or revoked" in hooked.log.read_text(), "the refusal")
    text = hooked.log.read_text() + hooked.get("/metrics").body.decode()
    assert site.bot.token not in text
    assert WEBHOOK_SECRET not in text


def test_a_slow_sender_holds_nobody_up(site: Site, server: BotServer) -> None:
    """A connection that sends a header and then nothing is no reason for others to wait."""
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(
            b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX-Gitlab-Token: "
            + WEBHOOK_SECRET.encode()
            + b"\r\n\r\n{"
        )
        begun = time.monotonic()
        assert server.post(event(site, 1), headers()).status == 202
        assert server.get("/healthz").status == 200
        assert time.monotonic() - begun < 20


def test_the_queue_is_told_to_prometheus(site: Site, server: BotServer, settings_file: Path) -> None:
    """What waits and what was done can be watched."""
    Tasks(read(settings_file).open_store()).ask("report", "4711", after=3600)
    until(lambda: b'ft_bot_tasks_waiting{kind="report"}' in server.get("/metrics").body, "the gauge")
    assert site.project.merges == {}
    with sqlite3.connect(read(settings_file).work / "store.sqlite") as db:
        assert db.execute("SELECT count(*) FROM tasks WHERE key = '4711'").fetchone() == (1,)
