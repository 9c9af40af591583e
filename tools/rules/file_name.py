"""A file stands where something reads it, and its name is a DNS label.

The path says what a file is: `experiments/<tenant>/<name>.yaml`. The name becomes the name of a run, a Job and a folder,
so it is made of lower-case letters, digits and hyphens, starts and ends with a letter or digit, and has at most 40
characters. A file that nothing reads is a run that never starts, hence a fault too; README.md and hidden files are fine.

Fails:

    experiments/team-a/Exp_1.yaml
    experiments/team-a/exp-1.yml
    experiments/exp-1.yaml

Passes:

    experiments/team-a/exp-1.yaml
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tools.findings import Finding, compose, quote
from tools.formats.base import LABEL_PATTERN, MAX_LABEL, PATTERN_IN_WORDS
from tools.rules.kinds import expected_beside, place_of

ID = "file-name"
KIND = "path"
NEEDS: tuple[str, ...] = ()
_LABEL = re.compile(LABEL_PATTERN)
_TOLERATED = "README.md"


def check(file: str) -> Iterator[Finding]:
    """Look at the path alone."""
    place = place_of(file)
    name = file.rpartition("/")[2]
    if place is None and name != _TOLERATED:
        remedy = "rename it" if name.endswith((".yml", ".YAML", ".YML")) else "move it there, or delete it"
        yield _finding(file, f"nothing reads {quote(file)}", expected_beside(file), remedy)
    elif place is not None and not is_label(place.name):
        found = f"the name {quote(place.name)} ({len(place.name)} characters)"
        yield _finding(file, found, PATTERN_IN_WORDS[LABEL_PATTERN], "rename the file")


def is_label(name: str) -> bool:
    """Whether a name is a DNS label of at most `MAX_LABEL` characters."""
    return len(name) <= MAX_LABEL and _LABEL.fullmatch(name) is not None


def _finding(file: str, found: str, allowed: str, remedy: str) -> Finding:
    return Finding(file, 1, 1, ID, "error", compose(found, allowed, remedy))
