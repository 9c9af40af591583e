"""A run on several nodes has a name of at most 34 characters that begins with a letter.

Each of its pods is a host that the others find by name: the experiment's, with the run id's and the attempt's digits, the
rank and five random letters. Host names have at most 63 characters, and JobSet wants a letter first.

Fails:

    resources: {gpus: 8, nodes: 2}      # experiments/team-a/3b-support-assistant.yaml

Passes:

    resources: {gpus: 8, nodes: 2}      # experiments/team-a/support-assistant-3b.yaml
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tools.findings import Finding
from tools.rules.subject import Subject

ID = "gang-name"
KIND = "experiment"
NEEDS = ("resources.nodes",)
# Source: sigs.k8s.io/jobset v0.10.1, pkg/webhooks/jobset_webhook.go: `<run id>-a<attempt>-node-0-<rank>-<5 letters>` is a
# DNS-1035 label; 9 characters of the run id, 4 of the attempt, 16 of the rest.
MOST = 34
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z")
_NAME = re.compile(rf"[a-z][a-z0-9-]{{0,{MOST - 1}}}\Z")


def check(subject: Subject) -> Iterator[Finding]:
    """Look at the name where there are several nodes; what is no name at all is another rule's matter."""
    if subject.experiment.resources.nodes > 1 and _LABEL.match(subject.name) and not _NAME.match(subject.name):
        found = f"{subject.name} ({len(subject.name)} characters) on {subject.experiment.resources.nodes} nodes"
        allowed = f"at most {MOST} characters, a letter first"
        remedy = "give the file a shorter name, or train on one node"
        yield subject.parsed.document.finding(("resources", "nodes"), ID, found, allowed, remedy)
