"""The tests' GitLab over a repository, with two merge requests: `gitlab.py REPOSITORY FOLDER`.

Prints where it is as a line of JSON, then answers lines of its input until that ends: `calls` with how many REST requests came
since `forget`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.gitlab.site import build
from tests.gitlab.standin import GitLab

repository, folder = Path(sys.argv[1]), Path(sys.argv[2])
server = GitLab(folder).start()
site = build(server, repository)
text = (repository / "experiments/team-00/exp-00000.yaml").read_text()
for name in ("exp-one", "exp-two"):
    new = text.replace("exp-00000", name).replace("assistant-00000", name)
    site.propose(site.user("anna.nowak"), {f"experiments/team-00/{name}.yaml": new})
place = {"url": server.url, "project": site.project.id, "token": site.bot.token}
print(json.dumps(place), flush=True)
for line in sys.stdin:
    if line.strip() == "forget":
        server.forget_calls()
    print(json.dumps(server.count()), flush=True)
server.stop()
