"""The tests' GitLab over a repository, with two merge requests: `gitlab.py REPOSITORY FOLDER`.

Prints where it is as a line of JSON, then answers lines of its input until that ends: `calls` with how many REST requests came
since `forget`; `hook URL SECRET` sends events there; `open NAME` opens one more merge request and answers with the seconds until
the bot's comment was there.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.gitlab.site import build
from tests.gitlab.standin import GitLab

MOST_SECONDS = 120
repository, folder = Path(sys.argv[1]), Path(sys.argv[2])
server = GitLab(folder).start()
site = build(server, repository)
text = (repository / "experiments/team-00/exp-00000.yaml").read_text()
author = site.user("anna.nowak")


def pushed(name: str) -> str:
    """A branch with one more experiment."""
    new = text.replace("exp-00000", name).replace("assistant-00000", name)
    server.push(author, site.project, name, {f"experiments/team-00/{name}.yaml": new}, message=name, start="main")
    return name


def until_commented(name: str) -> float:
    """Seconds from the merge request to the bot's comment on it."""
    branch, begun = pushed(name), time.monotonic()
    merge = server.open(author, site.project, branch)
    while not any(note.author.id == site.bot.id for note in merge.notes):
        if time.monotonic() - begun > MOST_SECONDS:
            raise TimeoutError(f"no comment on {name} within {MOST_SECONDS} s")
        time.sleep(0.005)
    return time.monotonic() - begun


for name in ("exp-one", "exp-two"):
    server.open(author, site.project, pushed(name))
place = {"url": server.url, "project": site.project.id, "token": site.bot.token}
print(json.dumps(place), flush=True)
for line in sys.stdin:
    answer: float = 0
    match line.split():
        case ["forget"]:
            server.forget_calls()
        case ["calls"]:
            answer = server.count()
        case ["hook", url, secret]:
            server.add_hook(site.project, url, secret)
        case ["open", name]:
            answer = until_commented(name)
    print(json.dumps(answer), flush=True)
server.stop()
