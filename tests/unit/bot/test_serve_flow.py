"""From an opened merge request to a deployed overlay through the real server, killed with -9 on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gitlab import bare
from tests.gitlab.bot_server import BotServer, until
from tests.gitlab.model import Merge
from tests.gitlab.site import BOT_URL, WEBHOOK_SECRET, Site
from tools.bot.settings import read

MARKER = "<!-- ft-bot: report -->"
# Requests around which the server is killed, before and after they take effect.
STEPS = (
    r"GET .*/merge_requests/1$",
    r"POST .*/notes",
    r"GET .*/merge_requests/1/approvals",
    r"GET .*/merge_requests/1/versions",
    r"POST .*git-receive-pack",
    r"PUT .*/notes/",
)


@pytest.fixture
def server(site: Site, settings_file: Path, tmp_path: Path) -> Iterator[BotServer]:
    """The bot's server, started, with the project's webhook pointing at it."""
    made = BotServer(settings_file, tmp_path / "server.log").start()
    site.gitlab.add_hook(site.project, f"{made.url}/webhook", WEBHOOK_SECRET)
    yield made
    made.kill()


def comment(merge: Merge) -> str:
    """The bot's comment; there is never a second one."""
    found = [note.body for note in merge.notes if MARKER in note.body]
    assert len(found) <= 1
    return found[0] if found else ""


def overlays(site: Site, branch: str, name: str) -> list[str]:
    """The files of an experiment's overlay on a branch."""
    listed = bare.git(site.project.bare, "ls-tree", "-r", "--name-only", branch, "overlays/dev/team-a/").splitlines()
    return [path for path in listed if path.startswith(f"overlays/dev/team-a/{name}/")]


def verdict(site: Site, server: BotServer, commit: str) -> Any:
    """What a job of the project is told."""
    token = site.gitlab.issuer.token(site.gitlab.url, site.project, site.user("anna.nowak"), BOT_URL)
    answer = server.get(f"/verdicts/{commit}", token)
    return answer.data if answer.status == 200 and answer.data["state"] == "decided" else None


def bots_commits(site: Site, start: str) -> list[str]:
    """What the bot committed to main since."""
    return bare.git(site.project.bare, "log", "--author=FT bot", "--format=%H", f"{start}..main").split()


def test_an_approved_experiment_is_deployed(site: Site, server: BotServer) -> None:
    """Comment, approval, merge: one signed commit on main and deployed/dev, a verdict for the job, the same comment."""
    start = site.main
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    until(lambda: comment(merge), f"the comment ({server.log.read_text()})")
    site.approve("maria.wisniewska", merge)
    landed = site.merge("maria.wisniewska", merge)
    decided = until(lambda: verdict(site, server, landed), f"the verdict ({server.log.read_text()})")
    (run,) = [run for run in decided["runs"] if run["environment"] == "dev"]
    assert (run["state"], run["merge_request"]) == ("authorized", merge.iid), decided
    assert overlays(site, "deployed/dev", "exp-002")
    assert site.tip("deployed/dev") in bots_commits(site, start)


def test_an_experiment_without_approval_is_not(site: Site, server: BotServer) -> None:
    """Merged without an approval: refused with reasons, no overlay, and the comment says so."""
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    until(lambda: comment(merge), "the comment")
    landed = site.merge("piotr.admin", merge)
    decided = until(lambda: verdict(site, server, landed), f"the verdict ({server.log.read_text()})")
    (run,) = [run for run in decided["runs"] if run["environment"] == "dev"]
    assert run["state"] == "refused"
    assert run["reasons"]
    assert not overlays(site, "main", "exp-002")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_a_step_it_deploys_once(site: Site, server: BotServer, step: str, after: bool) -> None:
    """Kill -9 before or after one call takes effect, then a new start: one comment, one commit of the bot, one overlay."""
    start = site.main
    killed: list[str] = []

    def kill() -> None:
        server.kill()
        killed.append(step)

    (site.gitlab.faults.afterwards if after else site.gitlab.faults.before)(step, kill)
    merge = site.propose(site.user("anna.nowak"), site.experiment())
    until(lambda: comment(merge) or killed, "the comment")
    if killed:
        server.start()
    until(lambda: comment(merge), f"the comment ({server.log.read_text()})")
    site.approve("maria.wisniewska", merge)
    landed = site.merge("maria.wisniewska", merge)
    until(lambda: killed, f"the kill ({server.log.read_text()})")
    server.kill()
    server.start()
    until(lambda: verdict(site, server, landed), f"the verdict ({server.log.read_text()})")
    until(lambda: overlays(site, "deployed/dev", "exp-002"), f"the overlay ({server.log.read_text()})")
    assert comment(merge)
    made = bots_commits(site, start)
    holding = [commit for commit in made if "overlays/dev/team-a/exp-002/run.yaml" in _changed(site, commit)]
    assert len(holding) == 1, made


def _changed(site: Site, commit: str) -> list[str]:
    return bare.git(site.project.bare, "diff-tree", "-r", "--name-only", "--no-commit-id", commit).splitlines()


def test_the_comment_comes_soon(site: Site, server: BotServer, settings_file: Path) -> None:
    """The histogram of /metrics holds the time from webhook to comment of each report."""
    for number in range(3):
        merge = site.propose(site.user("anna.nowak"), site.experiment(name=f"exp-1{number}"))
        until(lambda merge=merge: comment(merge), "the comment")
    text = until(lambda: _delays(server), "the figures")
    print(f"webhook to comment, mean of the reports: {text:.2f} s")
    assert read(settings_file).open_store().last_shown(3) is not None


def _delays(server: BotServer) -> float | None:
    lines = dict(line.rsplit(" ", 1) for line in server.get("/metrics").body.decode().splitlines() if line[:1] != "#")
    count = float(lines.get('ft_bot_task_delay_seconds_count{kind="report"}', 0))
    return float(lines['ft_bot_task_delay_seconds_sum{kind="report"}']) / count if count >= 3 else None
