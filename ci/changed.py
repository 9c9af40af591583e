"""Name the experiments, or the overlays, that a pipeline's commits change.

`python -m ci.changed experiments` prints experiment files and `python -m ci.changed overlays` prints overlay folders,
each followed by a NUL byte so that `xargs -0` takes any name. The pipeline's base commit comes from GitLab's variables;
where there is none that git knows (a branch's first pipeline, a schedule, a history rewritten) everything is named:
too much is checked rather than too little. What the commits delete is not named.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

# GitLab sets the first in merge request pipelines only; the second is what the branch pointed to before the push.
BASE_VARIABLES = ("CI_MERGE_REQUEST_DIFF_BASE_SHA", "CI_COMMIT_BEFORE_SHA")
EXPERIMENT_DEPTH = 3  # experiments/<tenant>/<name>.yaml
OVERLAY_DEPTH = 4  # overlays/<environment>/<tenant>/<name>


def git(*arguments: str) -> str:
    """Run git here and return what it printed; raises `subprocess.CalledProcessError` when it fails."""
    return subprocess.run(["git", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def base_commit(environment: Mapping[str, str]) -> str | None:
    """The commit to compare with, or None where GitLab names none that this clone holds."""
    sha = next((environment[name] for name in BASE_VARIABLES if environment.get(name)), None)
    if sha is None:
        return None
    known = subprocess.run(["git", "cat-file", "-e", f"{sha}^{{commit}}"], check=False, stderr=subprocess.DEVNULL)
    return sha if known.returncode == 0 else None


def changed_files(folder: str, base: str | None) -> list[str]:
    """Paths of files below `folder` that exist in HEAD and differ from `base`; every file there without a base."""
    if base is None:
        listed = git("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", f"{folder}/")
    else:
        listed = git("diff", "-z", "--name-only", "--no-renames", "--diff-filter=d", base, "HEAD", "--", f"{folder}/")
    return [path for path in listed.split("\0") if path]


def experiments(paths: Sequence[str]) -> list[str]:
    """Those of `paths` that are experiment files."""
    return [path for path in paths if path.endswith(".yaml") and len(PurePosixPath(path).parts) == EXPERIMENT_DEPTH]


def overlays(paths: Sequence[str]) -> list[str]:
    """The overlay folders of experiments that `paths` lie in, sorted; `_tenants` holds none of them."""
    parts = (PurePosixPath(path).parts for path in paths)
    folders = {"/".join(p[:OVERLAY_DEPTH]) for p in parts if len(p) > OVERLAY_DEPTH and not p[2].startswith("_")}
    return sorted(folders)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the changed experiments or overlays; exit code 0, also when there are none."""
    parser = argparse.ArgumentParser(prog="ci.changed", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["experiments", "overlays"], help="what to name")
    what: str = parser.parse_args(argv).what
    select = {"experiments": experiments, "overlays": overlays}[what]
    for path in select(changed_files(what, base_commit(os.environ))):
        sys.stdout.write(f"{path}\0")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
