"""The job `register`: does the registered version say what the lock and the completion manifest say?

Registering is the PostSync Job's work in the cluster. This job compares three things that different programs wrote: the lock
that the bot committed (read from the signed branch `deployed/<env>`), the tags of the version in MLflow's registry, and the
run's completion.json (both as the bot reads them). Exit code 0: they agree; 1: they do not; 2: the job's settings are wrong;
3: the bot or git gave no answer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ci.bot import Away, Bot, Unusable
from ci.changed import git
from ci.screen import name, printable
from runner.provenance import dataset_hashes, git_commit, tags
from tools.errors import UsageError
from tools.formats.lock import Lock
from tools.formats.names import refuse_label
from tools.repository import Repository

_REMEDY = "do not serve this version; tell the platform team, and run the experiment again with a higher `attempt`"


def main(argv: Sequence[str] | None = None) -> int:
    """Compare every run that `ci.follow` saw registered."""
    parser = argparse.ArgumentParser(prog="ci.registered", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reports", type=Path, required=True, metavar="DIR", help="holds runs.json, gets the result")
    reports: Path = parser.parse_args(argv).reports
    try:
        runs = json.loads((reports / "runs.json").read_text(encoding="utf-8"))
        results = {name(run): _result(Bot.from_environment(), run) for run in runs}
    except (Unusable, UsageError) as error:
        print(f"ci.registered: {error}", file=sys.stderr)
        return 2
    except (Away, OSError, subprocess.CalledProcessError) as error:
        print(f"ci.registered: {error}; retry this job", file=sys.stderr)
        return 3
    (reports / "registered.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return int(any(result["differences"] for result in results.values()))


def _result(bot: Bot, run: Mapping[str, Any]) -> dict[str, Any]:
    """One run's comparison, printed and for the report."""
    found = bot.run(str(run["sha256"])) if run["state"] in {"registered", "retired"} else None
    model = (found or {}).get("model")
    if found is None or model is None:
        print(f"{name(run)}: nothing is registered ({printable(str(run['state']))})")
        return {"run_id": run.get("run_id"), "model": None, "differences": []}
    lock = committed(str(run["environment"]), str(run["experiment"]))
    said = list(differences(lock, str(run["sha256"]), model, found.get("completion")))
    title = f"{name(run)}: {printable(str(model.get('name')))} version {printable(str(model.get('version')))}"
    print(f"{title}: " + ("agrees with its lock and its completion manifest" if not said else _REMEDY))
    print("".join(f"  - {printable(difference)}\n" for difference in said), end="")
    return {"run_id": run["run_id"], "model": {"name": model.get("name"), "version": model.get("version")}, "differences": said}  # fmt: skip


def committed(environment: str, experiment: str) -> Lock:
    """The lock as the branch `deployed/<env>` has it.

    Raises:
        UsageError: it is no valid lock, or the names are none.
        subprocess.CalledProcessError: the branch or the lock is not there.
    """
    match experiment.removesuffix(".yaml").split("/"):
        case ["experiments", tenant, name]:
            for part in (environment, tenant, name):
                refuse_label(part, "the bot named")
            file = f"overlays/{environment}/{tenant}/{name}/run.yaml"
        case _:
            raise UsageError(f"the bot named {experiment!a}; allowed: experiments/<tenant>/<name>.yaml")
    here = Path.cwd()
    git(here, "fetch", "--quiet", "--depth=1", "origin", f"refs/heads/deployed/{environment}")
    text = git(here, "cat-file", "blob", f"FETCH_HEAD:{file}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
        return Repository(Path(folder)).lock(file)


def differences(
    lock: Lock, sha256: str, model: Mapping[str, Any], completion: Mapping[str, Any] | None
) -> Iterator[str]:
    """Where lock, registry and completion manifest disagree, a phrase each."""
    if lock.sha256 != sha256:
        yield f"the lock's hash is {lock.sha256}, the bot's run is {sha256}"
    if lock.run.publish is None or model.get("name") != lock.run.publish.model_name:
        wanted = lock.run.publish.model_name if lock.run.publish else "nothing"
        yield f"registered as {model.get('name')}, the lock says {wanted}"
    found = model.get("tags") if isinstance(model.get("tags"), dict) else {}
    assert isinstance(found, dict)
    yield from _unequal("tag", found, tags(lock))
    if completion is None:
        yield "there is no completion manifest, and so no proof that training finished"
    else:
        yield from _unequal("completion manifest:", completion, _proven(lock, completion))
        yield from _steps(completion)


def _proven(lock: Lock, completion: Mapping[str, Any]) -> dict[str, Any]:
    """What the completion manifest must say, from the lock. An earlier attempt's may have another merge request's commit."""
    commit = {"git_commit": git_commit(lock)} if completion.get("attempt") == lock.attempt else {}
    return {
        "run_id": lock.run_id,
        "run_sha256": lock.sha256,
        "image": lock.run.image,
        "datasets": dataset_hashes(lock),
        **commit,
    }


def _steps(completion: Mapping[str, Any]) -> Iterator[str]:
    done, planned = completion.get("steps_done"), completion.get("steps_planned")
    if done != planned:
        yield f"completion manifest: {done} of {planned} steps done"


def _unequal(what: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for key, value in wanted.items():
        if found.get(key) != value:
            yield f"{what} {key} is {found.get(key)}, the lock says {value}"


if __name__ == "__main__":
    sys.exit(main())
